"""The versions that batches are pinned to: each checked once against its seals before the daemon plans with it."""

import threading
from pathlib import Path

from scoring.errors import ModelError
from scoring.registry import Manifest, Pin, find_damage, read_manifest


class PinnedModels:
    """Reads pinned versions for one run of the daemon."""

    def __init__(self, models: Path) -> None:
        """Read from the registry `models`."""
        self._models = models
        self._sound: set[Pin] = set()
        self._one = threading.Lock()

    def read(self, pin: Pin) -> Manifest:
        """Give the manifest of a version whose every file is as it was sealed.

        Files are hashed once per version and run of the daemon; the manifest, by which they are known, each time, and
        each job hashes what it opens. Raises ModelError when something was altered, OSError as the storage does.
        """
        manifest, _ = read_manifest(self._models, pin.version, pin.manifest_sha256)
        with self._one:
            if pin not in self._sound:
                if damage := find_damage(self._models, manifest):
                    raise ModelError(
                        f"Model version {pin.version} is damaged: {'; '.join(damage)}.",
                        "Restore the version's folder from a backup, or promote another one; then drop the file again.",
                    )
                self._sound.add(pin)
        return manifest

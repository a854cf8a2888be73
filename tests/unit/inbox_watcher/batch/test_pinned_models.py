"""A pinned version is hashed once per run of the daemon; storage that fails is no damage."""

import errno
from pathlib import Path

import pytest

from inbox_watcher.batch.pinned_models import PinnedModels
from scoring.errors import ModelError
from scoring.models import registry
from scoring.models.registry import MANIFEST, MODEL, VERSIONS
from tests.unit.scoring.linear_model import publish_linear


def test_a_version_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are hashed for the first batch of a version; the manifest that names it is checked for each."""
    pin = publish_linear(tmp_path)
    hashed: list[str] = []
    real = registry.sha256_of

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return real(path)

    monkeypatch.setattr(registry, "sha256_of", counted)
    pinned = PinnedModels(tmp_path)
    for _ in range(3):
        assert pinned.read(pin).version == pin.version
    assert sorted(hashed) == ["golden.json", "model.onnx"]
    manifest = tmp_path / VERSIONS / pin.version / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ModelError, match="altered"):
        pinned.read(pin)


def test_damage_is_refused_until_it_is_mended(tmp_path: Path) -> None:
    """A flipped bit is refused each time; a version that was restored is fine. An NFS leftover is no damage."""
    pin = publish_linear(tmp_path)
    model = tmp_path / VERSIONS / pin.version / MODEL
    content = model.read_bytes()
    pinned = PinnedModels(tmp_path)
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for _ in range(2):
        with pytest.raises(ModelError, match=r"damaged: .*model\.onnx was altered"):
            pinned.read(pin)
    model.write_bytes(content)
    model.with_name(".nfs0000000000000001").write_bytes(content)
    assert pinned.read(pin).version == pin.version


def test_storage_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale handle is trouble that passes: the step is done again, no file is failed for it."""
    pin = publish_linear(tmp_path)

    def stale(path: Path) -> str:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr(registry, "sha256_of", stale)
    with pytest.raises(OSError, match="Stale"):
        PinnedModels(tmp_path).read(pin)

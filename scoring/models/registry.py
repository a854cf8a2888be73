"""The model registry: plain folders on shared storage, immutable once published.

    models/versions/VERSION/manifest.json   contract, policy, metrics, data, seals of every other file
    models/versions/VERSION/model.onnx      the model, with features, imputation and encoding inside
    models/versions/VERSION/golden.json     built rows with sealed answers

A version is written to a hidden temporary folder and renamed into place, so whoever sees it sees all of it. Which one
is in production is another matter: `scoring.models.production`.
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from scoring.atomic import sync_folder, write_bytes
from scoring.contract import Contract
from scoring.errors import ModelError, StorageError
from scoring.models.graph_audit import audit_graph
from scoring.models.policy import Policy, refuse_unusable

FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN = "golden.json"
VERSIONS = "versions"
_RESTORE = "Restore the version's folder from a backup, or take another version: `loans models list` shows them."
_VERSION_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


class FileSeal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a published file must still be."""

    bytes: int
    """Its size (bytes)."""
    sha256: str
    """SHA-256 of its content, hexadecimal."""


class HistoryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of labelled loans that a version learnt from and was measured on."""

    name: str
    """Its name, without folders."""
    bytes: int
    """Its size (bytes)."""
    rows: int
    """Its rows, those that broke the contract included."""
    sha256: str
    """SHA-256 of its content, hexadecimal; empty where it was altered while the run went on."""
    modified: str
    """When it was last written (UTC, ISO 8601): how recent its loans can be, no more is known of their time."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is, and where it came from."""

    format: int
    """Version of this very format."""
    version: str
    """Its name: the folder's name."""
    created: str
    """When it was published (UTC, ISO 8601)."""
    candidate: str
    """The candidate that won: `logistic`, `tree`, ..."""
    contract: Contract
    """How files for this model are read and judged."""
    files: dict[str, FileSeal]
    """Every other file of the version, by name."""
    metrics: dict[str, dict[str, float]]
    """Measured on the held-out loans, per candidate; `rows_per_second` CSV to CSV on one core."""
    parameters: dict[str, str]
    """The winner's parameters, as text."""
    training: dict[str, str]
    """DAG run, version of the code, seed, rows and hashes of both sides of the split, as text."""
    packages: dict[str, str]
    """Versions of the packages that made it."""
    policy: Policy | None = None
    """What a probability means to the lender; None: predictions hold no score, band and decision."""
    validation: dict[str, dict[str, float]] = {}
    """What candidates showed on loans that they were not fitted on, per candidate: the choice rests on it."""
    history: tuple[HistoryFile, ...] = ()
    """The files of labelled loans, in order."""


# Built here, at import: msgspec crashes when several threads are the first to decode one type.
_DECODER = msgspec.json.Decoder(Manifest)


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version by name and content: what a batch keeps from claim to publication."""

    version: str
    """Its name."""
    manifest_sha256: str
    """SHA-256 of its manifest, which in turn seals every other file."""


def sha256_of(path: Path) -> str:
    """Hash a file with SHA-256, in constant memory; hexadecimal. Raises OSError as the storage does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """Tell the time as the registry writes it (UTC, ISO 8601, whole seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_version(candidate: str) -> str:
    """Make a version name that sorts by time: `20261122-150801-logistic`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{candidate}"


def publish_version(
    models: Path,
    *,
    version: str,
    candidate: str,
    contract: Contract,
    files: Mapping[str, bytes],
    metrics: dict[str, dict[str, float]],
    parameters: dict[str, str],
    training: dict[str, str],
    packages: dict[str, str],
    policy: Policy | None = None,
    validation: dict[str, dict[str, float]] | None = None,
    history: tuple[HistoryFile, ...] = (),
    created: str | None = None,
) -> Pin:
    """Publish a version under `models`; it appears complete, by one rename, and is never changed afterwards.

    `files` maps names to contents (bytes) and must hold `model.onnx` and `golden.json`. Raises ModelError when they are
    missing, the version exists, the policy cannot be used, or the graph is one that `audit_graph` refuses. `created` is
    when (UTC, ISO 8601), where a file of the version tells it too; otherwise now.
    """
    _check_name(version)
    lacking = {MODEL, GOLDEN} - files.keys()
    if lacking:
        raise ModelError(f"Version {version} cannot be published without {', '.join(sorted(lacking))}.")
    audit_graph(files[MODEL], version)
    refuse_unusable(policy, contract.encoding, version)
    home = models / VERSIONS
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f".{secrets.token_hex(8)}.tmp"
    temporary.mkdir(mode=0o750)
    try:
        for name, content in files.items():
            write_bytes(temporary / name, content)
        manifest = Manifest(
            format=FORMAT,
            version=version,
            created=created or now(),
            candidate=candidate,
            contract=contract,
            files={
                name: FileSeal(len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()
            },
            metrics=metrics,
            parameters=parameters,
            training=training,
            packages=packages,
            policy=policy,
            validation=validation or {},
            history=history,
        )
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        write_bytes(temporary / MANIFEST, encoded)
        try:
            os.rename(temporary, home / version)
        except OSError as error:
            raise ModelError(f"Version {version} cannot be published: {error.strerror}.") from error
    except BaseException:  # a stop by Ctrl-C or SystemExit leaves no half-written version either
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(home)
    return Pin(version, hashlib.sha256(encoded).hexdigest())


def list_versions(models: Path) -> list[str]:
    """Name the published versions, oldest first."""
    try:
        names = os.listdir(models / VERSIONS)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if _VERSION_NAME.fullmatch(name))


def read_manifest(models: Path, version: str, pinned: str | None = None) -> tuple[Manifest, Pin]:
    """Read a version's manifest; with `pinned` (SHA-256, hexadecimal), only that very one.

    Raises ModelError when it is missing, makes no sense, or is not the pinned one, StorageError for trouble that may
    pass.
    """
    _check_name(version)
    path = models / VERSIONS / version / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"Model version {version} cannot be read: {path}: {error.strerror}.",
            "`loans models list` shows the versions that are there.",
        ) from error
    except OSError as error:
        raise StorageError(f"Model version {version} cannot be read: {path}: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if pinned is not None and digest != pinned:
        raise ModelError(
            f"Model version {version} was altered: its manifest's SHA-256 is {digest}, pinned was {pinned}.",
            _RESTORE,
        )
    try:
        manifest = _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"The manifest {path} does not read: {error}.", _RESTORE) from error
    if manifest.format != FORMAT:
        raise ModelError(f"The manifest {path} is of format {manifest.format}; this version reads {FORMAT}.")
    if manifest.version != version:
        raise ModelError(
            f"The manifest {path} is that of version {manifest.version}: its folder was copied or renamed.", _RESTORE
        )
    return manifest, Pin(version, digest)


def find_damage(models: Path, manifest: Manifest) -> list[str]:
    """Check every file of a version against its seal; list what differs, in words (empty: intact).

    Raises OSError when the storage does not answer, which is no damage.
    """
    folder = models / VERSIONS / manifest.version
    damage = []
    for name, seal in manifest.files.items():
        path = folder / name
        try:
            size, digest = path.stat().st_size, sha256_of(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            damage.append(f"{path}: {error.strerror}")
            continue
        if (size, digest) != (seal.bytes, seal.sha256):
            damage.append(f"{path} was altered: SHA-256 {digest} ({size} bytes), sealed {seal.sha256} ({seal.bytes})")
    strangers = {path.name for path in folder.iterdir()} - set(manifest.files) - {MANIFEST}
    # What an NFS client leaves of a file that somebody still reads is nobody's alteration.
    strangers = {name for name in strangers if not name.startswith(".nfs")}
    damage += [f"{folder / name} does not belong to the version" for name in sorted(strangers)]
    return damage


def audit_version(models: Path, manifest: Manifest) -> None:
    """Look into a version's graph. Raises ModelError when `audit_graph` refuses it, OSError as the storage does."""
    audit_graph((models / VERSIONS / manifest.version / MODEL).read_bytes(), manifest.version)


def _check_name(version: str) -> None:
    if not _VERSION_NAME.fullmatch(version):
        raise ModelError(
            f"{version!r} is not the name of a model version.",
            "`loans models list` shows the versions that are there.",
        )

"""The registry: versions appear whole and stay as they are; production is one pointer; damage is named."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import onnx
import pytest

from scoring.contract import Contract
from scoring.errors import ModelError
from scoring.models.production import PRODUCTION, name_account, promote, read_promotion
from scoring.models.registry import (
    GOLDEN,
    MANIFEST,
    MODEL,
    VERSIONS,
    Pin,
    find_damage,
    list_versions,
    name_version,
    publish_version,
    read_manifest,
)
from tests.unit.scoring.linear_model import linear_graph, publish_linear

BAD_NAMES = ["../x", "a/b", "/etc", ".hidden", "..", "", "a\n", "a b", "-x", "ü", "a" * 101, "a\0b"]


def graph(note: bytes) -> bytes:
    """Give a graph that can be told from others by a note."""
    model = onnx.ModelProto.FromString(linear_graph(2))
    model.doc_string = note.decode()
    content: bytes = model.SerializeToString()
    return content


def publish(models: Path, contract: Contract, version: str, content: bytes = b"graph") -> Pin:
    """Publish a version of two files, the graph with a note."""
    return publish_version(
        models,
        version=version,
        candidate="made up",
        contract=contract,
        files={MODEL: graph(content), GOLDEN: b"rows"},
        metrics={"made up": {"auc": 0.5}},
        parameters={"depth": "3"},
        training={"run": "1"},
        packages={"numpy": "2"},
    )


def home(models: Path, version: str = "v1") -> Path:
    """Name the folder of a version."""
    return models / VERSIONS / version


def test_version_is_read_as_published(tmp_path: Path, contract: Contract) -> None:
    """A published version tells what it is, its pin fits, and every file is sealed and sound."""
    pin = publish(tmp_path, contract, "v1")
    manifest, read_pin = read_manifest(tmp_path, "v1", pin.manifest_sha256)
    assert read_pin == pin
    assert (manifest.version, manifest.contract, manifest.metrics) == ("v1", contract, {"made up": {"auc": 0.5}})
    assert set(manifest.files) == {MODEL, GOLDEN}
    assert find_damage(tmp_path, manifest) == []
    assert sorted(os.listdir(home(tmp_path))) == sorted([MODEL, GOLDEN, MANIFEST])
    assert os.listdir(tmp_path / VERSIONS) == ["v1"]


def test_published_version_is_never_changed(tmp_path: Path, contract: Contract) -> None:
    """Publishing the same name again is refused, the first stays as it was, and no temporary is left."""
    pin = publish(tmp_path, contract, "v1", b"first")
    with pytest.raises(ModelError, match="Version v1 cannot be published"):
        publish(tmp_path, contract, "v1", b"second")
    assert (home(tmp_path) / MODEL).read_bytes() == graph(b"first")
    assert read_manifest(tmp_path, "v1")[1] == pin
    assert os.listdir(tmp_path / VERSIONS) == ["v1"]


def test_of_many_at_once_one_is_published(tmp_path: Path, contract: Contract) -> None:
    """Of eight publications of one name at the same moment, one succeeds and is whole; the others are refused."""

    def attempt(number: int) -> Pin | None:
        try:
            return publish(tmp_path, contract, "v1", b"%d" % number)
        except ModelError:
            return None

    with ThreadPoolExecutor(8) as pool:
        pins = [pin for pin in pool.map(attempt, range(8)) if pin is not None]
    manifest, pin = read_manifest(tmp_path, "v1")
    assert pins == [pin]
    assert find_damage(tmp_path, manifest) == []
    assert os.listdir(tmp_path / VERSIONS) == ["v1"]


def test_failing_storage_leaves_nothing(tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file cannot be written, no version and no temporary appears."""

    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path), content)

    monkeypatch.setattr("scoring.models.registry.write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path, contract, "v1")
    assert os.listdir(tmp_path / VERSIONS) == []
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("left_out", [MODEL, GOLDEN])
def test_incomplete_version_is_refused(tmp_path: Path, contract: Contract, left_out: str) -> None:
    """A version without its graph or its golden rows is not published."""
    files = {name: b"x" for name in (MODEL, GOLDEN) if name != left_out}
    with pytest.raises(ModelError, match=left_out):
        publish_version(
            tmp_path, version="v1", candidate="x", contract=contract, files=files, metrics={}, parameters={},
            training={}, packages={},
        )  # fmt: skip
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_reach_no_path(tmp_path: Path, contract: Contract, name: str) -> None:
    """A name that leaves the folder or hides in it is neither published, read nor promoted."""
    models = tmp_path / "models"
    publish(models, contract, "v1")
    outside = tmp_path / "models" / "x"
    outside.mkdir()
    (outside / MANIFEST).write_bytes((home(models) / MANIFEST).read_bytes())
    for act in (
        lambda: publish(models, contract, name),
        lambda: read_manifest(models, name),
        lambda: promote(models, Pin(name, "0" * 64), by="test", why="test"),
    ):
        with pytest.raises(ModelError, match="is not the name of a model version"):
            act()
    assert os.listdir(models / VERSIONS) == ["v1"]


def test_versions_are_listed_oldest_first(tmp_path: Path, contract: Contract) -> None:
    """Names sort by time; what is half written or no version is not listed."""
    assert list_versions(tmp_path) == []
    for version in ("20260102-000000-b", "20260101-000000-a"):
        publish(tmp_path, contract, version)
    (tmp_path / VERSIONS / ".0123.tmp").mkdir()
    assert list_versions(tmp_path) == ["20260101-000000-a", "20260102-000000-b"]
    assert name_version("tree").endswith("-tree")
    assert "@" in name_account()


def test_missing_version_is_told(tmp_path: Path) -> None:
    """A version that is not there is a sentence with a way out."""
    with pytest.raises(ModelError, match="Model version v9 cannot be read") as refused:
        read_manifest(tmp_path, "v9")
    assert "loans models list" in refused.value.way_out


def test_tampered_manifest_does_not_fit_its_pin(tmp_path: Path, contract: Contract) -> None:
    """A manifest of which one byte was changed, though it still reads, is refused by everyone who pinned it."""
    pin = publish(tmp_path, contract, "v1")
    path = home(tmp_path) / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"auc": 0.5', b'"auc": 0.9'))
    assert read_manifest(tmp_path, "v1")[0].metrics == {"made up": {"auc": 0.9}}
    with pytest.raises(ModelError, match="was altered"):
        read_manifest(tmp_path, "v1", pin.manifest_sha256)
    with pytest.raises(ModelError, match="was altered"):
        promote(tmp_path, pin, by="test", why="test")
    assert read_promotion(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:-10],
        lambda _: b"[]",
        lambda content: content.replace(b"made up", b"\xecade up"),
        lambda content: content.replace(b'"format": 1', b'"format": 7', 1),
        lambda content: content.replace(b'"version": "v1"', b'"version": "v2"'),
        lambda content: content.replace(b'"candidate"', b'"candid8te"'),
    ],
)
def test_damaged_manifest_is_a_sentence(tmp_path: Path, contract: Contract, damage: object) -> None:
    """A manifest that was cut, has a flipped bit, another format or another name is refused in words, unpinned too."""
    publish(tmp_path, contract, "v1")
    path = home(tmp_path) / MANIFEST
    content = path.read_bytes()
    assert callable(damage)
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(ModelError, match=MANIFEST):
        read_manifest(tmp_path, "v1")


def test_damage_is_named(tmp_path: Path, contract: Contract) -> None:
    """A changed, a missing and a foreign file are each named, and such a version is not promoted."""
    pin = publish(tmp_path, contract, "v1")
    manifest, _ = read_manifest(tmp_path, "v1")
    (home(tmp_path) / MODEL).write_bytes(b"Graph")
    (home(tmp_path) / GOLDEN).unlink()
    (home(tmp_path) / "stranger").write_bytes(b"x")
    damage = find_damage(tmp_path, manifest)
    assert len(damage) == 3
    parts = (f"{MODEL} was altered", f"{GOLDEN}: No such file", "stranger does not belong")
    for part, found in zip(parts, damage, strict=True):
        assert part in found
    with pytest.raises(ModelError, match="is not promoted, it is damaged"):
        promote(tmp_path, pin, by="test", why="test")
    assert not (tmp_path / PRODUCTION).exists()


def test_refused_promotion_leaves_production(tmp_path: Path, contract: Contract) -> None:
    """A promotion that fails, of a version that is missing or not the pinned one, leaves production as it was."""
    publish_linear(tmp_path)
    before = (tmp_path / PRODUCTION).read_bytes()
    publish(tmp_path, contract, "v1")
    for pin in (Pin("v1", "0" * 64), Pin("v2", "0" * 64)):
        with pytest.raises(ModelError):
            promote(tmp_path, pin, by="test", why="test")
    assert (tmp_path / PRODUCTION).read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:-5],
        lambda content: content.replace(b'"test"', b'"\xf4est"'),
        lambda content: content.replace(b'"format": 1', b'"format": 9'),
    ],
)
def test_damaged_pointer_is_a_sentence(tmp_path: Path, damage: object) -> None:
    """A production pointer that was cut, has a flipped bit or another format says so."""
    publish_linear(tmp_path)
    path = tmp_path / PRODUCTION
    content = path.read_bytes()
    assert callable(damage)
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(ModelError, match=PRODUCTION):
        read_promotion(tmp_path)


def test_world_reads_no_model(tmp_path: Path, contract: Contract) -> None:
    """Neither the folder of a version nor its files, nor the pointer, are open to the world."""
    before = os.umask(0)
    try:
        pin = publish_linear(tmp_path, contract)
    finally:
        os.umask(before)
    folder = home(tmp_path, pin.version)
    for path in (folder, *folder.iterdir(), tmp_path / PRODUCTION):
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path


def test_manifest_survives_encoding(tmp_path: Path, contract: Contract) -> None:
    """A manifest that is encoded and decoded again is the same."""
    publish(tmp_path, contract, "v1")
    manifest, _ = read_manifest(tmp_path, "v1")
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest

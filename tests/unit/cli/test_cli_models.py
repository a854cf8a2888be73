"""`loans models`: the registry as people and programs see it."""

from pathlib import Path

from inbox_watcher.layout import Layout
from scoring.registry import MODEL, VERSIONS, Pin, read_promotion
from tests.unit.cli.conftest import Loans
from tests.unit.inbox_watcher.conftest import publish_copy

OTHER = "20260202-000000-other"


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_versions_are_listed(loans: Loans, root: Path, pin: Pin) -> None:
    """The list shows every version, oldest first, and which one is in production."""
    publish_copy(Layout(root).models, pin, OTHER)
    shown = loans("models", "list")
    assert shown.code == 0
    lines = [line for line in shown.out.splitlines() if "-linear" in line or "-other" in line]
    assert [line.split()[0] for line in lines] == [pin.version, OTHER]
    assert [line.rstrip().endswith("yes") for line in lines] == [True, False]
    told = loans("models", "list", "--json").json
    assert told["production"] == pin.version
    assert [version["version"] for version in told["versions"]] == [pin.version, OTHER]


def test_an_empty_registry_is_no_error(loans: Loans, root: Path) -> None:
    """Before the first training there is nothing to list."""
    assert root.exists()
    assert loans("models", "list").code == 0
    assert loans("models", "verify").code == 0
    assert loans("models", "list", "--json").json == {"production": None, "versions": [], "broken": {}}


def test_a_version_is_shown(loans: Loans, pin: Pin) -> None:
    """A version tells what it is; one that is not there, or whose name leads elsewhere, is told in a sentence."""
    shown = loans("models", "show", pin.version)
    assert shown.code == 0
    assert shown.out.startswith(f"{pin.version}: linear, published ")
    told = loans("models", "show", pin.version, "--json").json
    assert told["manifest_sha256"] == pin.manifest_sha256
    assert told["manifest"]["candidate"] == "linear"
    for name in ("20990101-000000-none", "../../etc", "", "-"):
        ran = loans("models", "show", "--", name)
        assert (ran.code, ran.out) == (1, "")
        assert ran.reason.endswith(".")


def test_a_version_is_promoted(loans: Loans, root: Path, pin: Pin) -> None:
    """Promotion says which version, by whom and why; a version that is not there changes nothing."""
    models = Layout(root).models
    other = publish_copy(models, pin, OTHER)
    ran = loans("models", "promote", OTHER, "--why", "it's better [really]")
    assert (ran.code, ran.out) == (0, "")
    promotion = read_promotion(models)
    assert promotion is not None
    assert (promotion.pin, promotion.why) == (other, "it's better [really]")
    assert "@" in promotion.by
    assert loans("models", "promote", "20990101-000000-none").code == 1
    assert loans("models", "promote", pin.version, "--json").json["production"]["version"] == pin.version
    assert read_promotion(models) != promotion


def test_an_altered_version_is_found(loans: Loans, root: Path, pin: Pin) -> None:
    """One flipped bit, a foreign file or a broken manifest: verify names the version and ends with 1."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    assert loans("models", "verify").code == 0
    assert loans("models", "verify", "--json").json[OTHER] == {"intact": True, "damage": []}
    flip(models / VERSIONS / OTHER / MODEL)
    ran = loans("models", "verify")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0] == f"{pin.version}: intact"
    assert lines[1].startswith(f"{OTHER}: ")
    assert "altered" in lines[1]
    told = loans("models", "verify", "--json")
    assert told.code == 1
    assert [told.json[version]["intact"] for version in (pin.version, OTHER)] == [True, False]
    (models / VERSIONS / pin.version / "stranger").write_text("")
    assert "does not belong" in loans("models", "verify").out


def test_an_altered_version_is_not_promoted(loans: Loans, root: Path, pin: Pin) -> None:
    """A damaged version does not get into production, and the reason is told."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    flip(models / VERSIONS / OTHER / MODEL)
    ran = loans("models", "promote", OTHER)
    assert ran.code == 1
    assert "damaged" in ran.reason
    promotion = read_promotion(models)
    assert promotion is not None
    assert promotion.pin == pin


def test_one_broken_manifest_does_not_hide_the_others(loans: Loans, root: Path, pin: Pin) -> None:
    """While one manifest does not read, the other versions are still listed and verified."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    (models / VERSIONS / OTHER / "manifest.json").write_text("{")
    verified = loans("models", "verify")
    assert verified.code == 1
    assert f"{pin.version}: intact" in verified.out
    assert OTHER in verified.out
    listed = loans("models", "list")
    assert pin.version in listed.out
    assert OTHER in listed.out + listed.err
    told = loans("models", "list", "--json").json
    assert [version["version"] for version in told["versions"]] == [pin.version]
    assert list(told["broken"]) == [OTHER]

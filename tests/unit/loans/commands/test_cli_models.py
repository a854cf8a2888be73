"""`loans models`: the registry as people and programs see it."""

import os
from pathlib import Path

from inbox_watcher.settings.layout import Layout
from scoring.models.policy import Band, Policy
from scoring.models.production import promote, read_promotion
from scoring.models.promotion_log import LOG
from scoring.models.registry import GOLDEN, MODEL, VERSIONS, HistoryFile, Pin, publish_version, read_manifest
from tests.unit.inbox_watcher.conftest import forge_pointer, publish_copy
from tests.unit.inbox_watcher.settings.test_permissions import GROUP
from tests.unit.loans.conftest import Loans

OTHER = "20260202-000000-other"


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_versions_are_listed(loans: Loans, root: Path, pin: Pin) -> None:
    """The list shows every version, oldest first, which is the champion, which was, and which never was."""
    other = publish_copy(Layout(root).models, pin, OTHER)
    shown = loans("models", "list")
    assert shown.code == 0
    lines = [line for line in shown.out.splitlines() if "-linear" in line or "-other" in line]
    assert [line.split()[0] for line in lines] == [pin.version, OTHER]
    assert [line.split()[-1] for line in lines] == ["champion", "challenger"]
    told = loans("models", "list", "--json").json
    assert told["production"] == pin.version
    assert [version["version"] for version in told["versions"]] == [pin.version, OTHER]
    promote(Layout(root).models, other, by="test", why="test")
    lines = [line for line in loans("models", "list").out.splitlines() if "-linear" in line or "-other" in line]
    assert lines[0].rstrip().endswith("champion once")
    assert lines[1].split()[-1] == "champion"


def test_figures_are_listed_and_shown(loans: Loans, root: Path, pin: Pin) -> None:
    """The list shows AUC, F1, ECE and speed; `show` all that the manifest knows: figures, policy, history, files."""
    models = Layout(root).models
    manifest, _ = read_manifest(models, pin.version)
    folder = models / VERSIONS / pin.version
    figures = {"auc": 0.9512, "f1": 0.8123, "ece": 0.0067, "rows_per_second": 81_234.5}
    publish_version(
        models,
        version=OTHER,
        candidate="boosting",
        contract=manifest.contract,
        files={MODEL: (folder / MODEL).read_bytes(), GOLDEN: (folder / GOLDEN).read_bytes()},
        metrics={"tree": {"auc": 0.91}, "boosting": figures},
        parameters={"depth [max]": "3"},
        training={"run": "r1", "code": "0.1.0"},
        packages={"numpy": "2"},
        policy=Policy(1, 600, 50, 20, 300, 900, (Band("A", 600), Band("B", 300)), 0.2, 0.4),
        validation={"boosting": {"auc": 0.95, "parameter_sets": 4}},
        history=(HistoryFile("loans.csv", 12_345, 99, "ab" * 32, "2026-01-01T00:00:00Z"),),
    )
    (line,) = [line for line in loans("models", "list").out.splitlines() if OTHER in line]
    assert line.split()[3:7] == ["0.9512", "0.8123", "0.0067", "81,234"]
    shown = loans("models", "show", OTHER).out
    words = ("boosting *", "0.9100", "81,234", "A from 600, B from 300", "pd 0.2000", "pd 0.4000", "depth [max]")
    for word in (*words, "loans.csv", "12,345", "ab" * 32, "2026-01-01T00:00:00Z", "0.9500", "model.onnx", "0.1.0"):
        assert word in shown, word
    told = loans("models", "show", OTHER, "--json").json["manifest"]
    assert told["history"][0]["rows"] == 99
    assert told["policy"]["decline_from"] == 0.4


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


def test_a_promotion_is_rolled_back(loans: Loans, root: Path, pin: Pin) -> None:
    """Rollback puts back what was there before, says so, and once more is refused in words."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    assert loans("models", "promote", OTHER).code == 0
    ran = loans("models", "rollback", "--why", "too strict")
    assert (ran.code, ran.out) == (0, "")
    assert ran.reason == f"Version {pin.version} is in production again, {OTHER} is not any more."
    refused = loans("models", "rollback")
    assert (refused.code, refused.out) == (1, "")
    assert "nothing to go back to" in refused.reason
    assert loans("models", "promote", OTHER).code == 0
    told = loans("models", "rollback", "--json").json
    assert (told["production"]["version"], told["replaced"]["version"]) == (pin.version, OTHER)


def test_the_log_is_shown(loans: Loans, root: Path, pin: Pin) -> None:
    """The log tells who put what into production, when, why and instead of what, as a table and as JSON."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    loans("models", "promote", OTHER, "--why", "better [bold]by far[/bold]")
    loans("models", "rollback", "--why", "too strict")
    shown = loans("models", "log")
    assert (shown.code, shown.err) == (0, "")
    lines = [line for line in shown.out.splitlines() if "-linear" in line]
    assert len(lines) == 3
    assert "better [bold]by far[/bold]" in lines[1]
    assert "rollback" in lines[2]
    told = loans("models", "log", "--json").json
    assert [entry["action"] for entry in told["entries"]] == ["promote", "promote", "rollback"]
    last = told["entries"][-1]
    assert (last["from"]["version"], last["to"]["version"], last["why"]) == (OTHER, pin.version, "too strict")
    assert "@" in last["by"]


def test_a_log_with_a_hole_is_found(loans: Loans, root: Path, pin: Pin) -> None:
    """A line taken out of the log is found by `verify` and `log`; a last line that was cut is told and no damage."""
    models = Layout(root).models
    publish_copy(models, pin, OTHER)
    for _ in range(2):
        loans("models", "promote", OTHER)
        loans("models", "rollback")
    log = models / LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert loans("models", "verify").code == 0
    assert "it was cut" in loans("models", "log").err
    log.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    for command in ("verify", "log"):
        ran = loans("models", command)
        assert ran.code == 1
        assert "lines are missing or altered" in ran.out + ran.err
    told = loans("models", "verify", "--json")
    assert told.code == 1
    assert not told.json[LOG]["intact"]
    assert told.json[OTHER]["intact"]


def test_a_forged_pointer_is_found(loans: Loans, root: Path, pin: Pin) -> None:
    """`verify`, `log` and `list` report a version that nobody promoted; promoting the right one by hand settles it."""
    models = Layout(root).models
    forge_pointer(models, publish_copy(models, pin, OTHER))
    for command in ("verify", "log", "list"):
        ran = loans("models", command)
        assert ran.code == 1
        assert f"No logged promotion put version {OTHER} into production" in ran.out + ran.err
    told = loans("models", "verify", "--json").json
    assert not told[LOG]["intact"]
    assert "[unexplained_promotion]" in told[LOG]["damage"][0]
    assert told[OTHER]["intact"]
    assert loans("models", "rollback").code == 1
    assert loans("models", "promote", pin.version, "--why", "after review").code == 0
    assert loans("models", "verify").code == 0


def test_a_registry_that_others_may_change_is_told(loans: Loans, root: Path, pin: Pin) -> None:
    """`verify` warns of what a group may change, as older trees have it, and fails for what anybody may change."""
    models = Layout(root).models
    versions = models / VERSIONS
    for folder in (models, versions):
        os.chown(folder, -1, GROUP)
        folder.chmod(0o2770)
    ran = loans("models", "verify")
    assert ran.code == 0
    (line,) = [line for line in ran.out.splitlines() if line.startswith("permissions: ")]
    assert str(versions) in line
    told = loans("models", "verify", "--json").json
    assert (told["permissions"]["intact"], len(told["permissions"]["notes"])) == (True, 1)
    (versions / pin.version).chmod(0o777)
    ran = loans("models", "verify")
    assert ran.code == 1
    assert "Damaged: permissions." in ran.err


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

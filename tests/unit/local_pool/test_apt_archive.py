"""Where the distribution's HTCondor packages come from."""

from pathlib import Path

import pytest

from local_pool import apt_archive
from local_pool.apt_archive import (
    Archive,
    IndexTarget,
    choose_archives,
    package_closure,
    parse_index_targets,
    parse_os_release,
)

STANZAS = """\
MetaKey: main/binary-amd64/Packages
ShortDesc: Packages
Codename: bookworm
Origin: Debian
Component: main
Created-By: Packages
Release: bookworm
Site: http://mirror.example/debian

MetaKey: main/i18n/Translation-en
Origin: Debian
Component: main
Created-By: Translations
Release: bookworm
Site: http://mirror.example/debian

MetaKey: main/binary-amd64/Packages
Component: main
Created-By: Packages
Release: nodistro
Site: http://vendor.example/node
"""

BOOKWORM = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
DEBIAN = "http://mirror.example/debian"


@pytest.fixture(autouse=True)
def no_keyrings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the choice independent of the keyrings that this machine happens to have."""
    missing = dict.fromkeys(apt_archive._KEYRINGS, tmp_path / "none.gpg")
    monkeypatch.setattr(apt_archive, "_KEYRINGS", missing)


def target(release: str, origin: str = "Debian", site: str = DEBIAN, component: str = "main") -> IndexTarget:
    """Return a list of packages as apt would tell it."""
    return IndexTarget(site=site, release=release, component=component, origin=origin)


def test_index_targets_are_read() -> None:
    """Package lists are taken with what matters of them; translations are not package lists."""
    assert parse_index_targets(STANZAS) == (
        target("bookworm"),
        target("nodistro", origin="", site="http://vendor.example/node"),
    )


def test_os_release_is_read() -> None:
    """Quotes are taken off, comments and blank lines skipped."""
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n\n# comment = no\nID=debian\n'
    assert parse_os_release(text) == {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "ID": "debian"}


def test_old_debian_takes_trixie_from_its_own_archive() -> None:
    """Debian 12, which packages no HTCondor, takes the packages of 13 from where its apt fetches."""
    assert choose_archives([target("bookworm")], BOOKWORM) == (Archive(DEBIAN, "trixie", "main", None),)


def test_debian_that_packages_htcondor_takes_its_own() -> None:
    """Debian 13 and later, numbered or not yet, take their own suite."""
    trixie = {"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie"}
    forky = {"ID": "debian", "VERSION_CODENAME": "forky"}
    assert [archive.suite for archive in choose_archives([target("trixie")], trixie)] == ["trixie"]
    assert [archive.suite for archive in choose_archives([target("testing")], forky)] == ["forky"]


def test_ubuntu_and_what_derives_from_it_take_universe() -> None:
    """HTCondor is in Ubuntu's component universe; a derivative names the Ubuntu that it stands on."""
    ubuntu = {"ID": "ubuntu", "VERSION_CODENAME": "plucky"}
    mint = {"ID": "linuxmint", "VERSION_CODENAME": "zara", "UBUNTU_CODENAME": "plucky"}
    targets = [target("plucky", origin="Ubuntu"), target("zara", origin="linuxmint")]
    for system in (ubuntu, mint):
        assert choose_archives(targets, system) == (Archive(DEBIAN, "plucky", "main universe", None),)


@pytest.mark.parametrize(
    "other",
    [
        target("bookworm-security", site="http://mirror.example/debian-security"),
        target("bookworm-updates"),
        target("bookworm", origin="Vendor", site="http://vendor.example/tools"),
        target("bookworm", component="contrib"),
    ],
)
def test_other_archives_are_left_alone(other: IndexTarget) -> None:
    """Security and update suites, vendors' archives and other components do not hold the suite."""
    assert choose_archives([other], BOOKWORM) == ()


def test_archive_is_found_before_the_machines_first_update() -> None:
    """Without package lists apt does not know an archive's maker; the suite's name must do."""
    assert [archive.site for archive in choose_archives([target("bookworm", origin="")], BOOKWORM)] == [DEBIAN]


def test_mirrors_of_one_archive_are_tried_in_order() -> None:
    """Several sites stay in the order of the machine's sources, each once."""
    second = "http://second.example/debian"
    targets = [target("bookworm"), target("bookworm", site=second), target("bookworm")]
    assert [archive.site for archive in choose_archives(targets, BOOKWORM)] == [DEBIAN, second]


def test_unknown_system_has_no_archive() -> None:
    """On a system that is neither Debian nor Ubuntu there is nothing to choose from."""
    assert choose_archives([target("bookworm")], {"ID": "fedora"}) == ()


def test_source_line_names_the_keyring() -> None:
    """The suite must be signed by the named keyring, where there is one."""
    archive = Archive(DEBIAN, "trixie", "main", Path("/usr/share/keyrings/debian-archive-keyring.gpg"))
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert archive.source_line() == f"deb {signed} {DEBIAN} trixie main\n"
    assert Archive(DEBIAN, "trixie", "main", None).source_line() == f"deb {DEBIAN} trixie main\n"


DEPENDS = """\
condor
  Depends: python3
  Depends: libssl3t64
 |Depends: libkrb5-3
  Depends: libjs-jquery
  Depends: <perl:any>
    perl
  Depends: libdate-manip-perl
  PreDepends: libc6
python3
  Depends: libpython3-stdlib
  Depends: libncursesw6
libssl3t64
  Depends: libc6
  Depends: libzstd1
libkrb5-3
libc6
  Depends: libgcc-s1
"""


def test_closure_holds_the_daemons_libraries_only() -> None:
    """Libraries of libraries belong to it; interpreters, what they need, and web assets do not."""
    found = package_closure(DEPENDS, ["condor"])
    assert found == ("condor", "libc6", "libgcc-s1", "libkrb5-3", "libssl3t64", "libzstd1")


def test_closure_of_a_package_that_is_not_there_is_empty() -> None:
    """A suite without the package yields nothing, so the next name is tried."""
    assert package_closure("", ["condor"]) == ()

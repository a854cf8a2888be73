"""Names on the shared tree: one for each thing, and never too long."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inbox_watcher.settings.layout import LONGEST_NAME, BatchLayout, Layout, StateLayout, output_stem, revision, shorten

FILE_NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
SUFFIX = ".error.txt"


def test_every_name_is_its_own() -> None:
    """No two things on the shared tree or in the daemon's folder have one name, and nothing lies outside."""
    root = Path("/shared")
    layout, batch, state = Layout(root), BatchLayout(root / "batches" / "b"), StateLayout(Path("/state"))
    tree = [*layout.folders, layout.contract, layout.archived("b", "x.csv")]
    tree += [layout.result("x", kind) for kind in ("predictions.csv", "rejects.csv", "receipt.json")]
    tree += [
        batch.root,
        batch.parts,
        batch.logs,
        batch.manifest,
        batch.receipt,
        batch.input,
        *batch.contents,
        batch.plan,
    ]
    own = [state.root, state.journal, state.lock, state.events, state.event_log("b"), state.training]
    assert len(set(tree + own)) == len(tree + own)
    assert all(path.is_relative_to(root) for path in tree)
    assert all(path.is_relative_to(state.root) for path in own)
    assert layout.batch("b") == batch


def test_the_tree_is_the_one_of_the_design() -> None:
    """The folders under ROOT are those that people were told of, and parents come first."""
    root = Path("/shared")
    names = [path.relative_to(root).as_posix() for path in Layout(root).folders]
    assert set(names) >= {"inbox", "outbox", "failed", "archive", "batches", "history", "models/versions", "training"}
    assert names[0] == "."
    assert names.index("models") < names.index("models/versions")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("loans.csv", "loans"),
        ("loans.csv.gz", "loans"),
        ("LOANS.CSV.GZ", "LOANS"),
        ("Mai crédits.csv", "Mai crédits"),
        ("a.b.csv", "a.b"),
        ("a.csv.csv", "a.csv"),
        ("loans", "loans"),
    ],
)
def test_results_are_named_after_the_file(name: str, stem: str) -> None:
    """The NAME of NAME.predictions.csv is the dropped file's name without what tells its kind."""
    assert output_stem(name) == stem


@given(st.text(max_size=30), st.integers(1, 500), st.integers(1, 500))
def test_deliveries_under_one_name_are_told_apart(stem: str, one: int, other: int) -> None:
    """The first delivery keeps the name, and no two deliveries share one."""
    assume(one != other)
    assert revision(stem, 1) == stem
    assert revision(stem, one) != revision(stem, other)


@given(st.text(max_size=300).filter(lambda name: "/" not in name), st.sampled_from([SUFFIX, ".csv", "é.txt", ""]))
def test_a_shortened_name_fits(name: str, suffix: str) -> None:
    """Whatever alphabet a name is written in, with its suffix it fits into what a file system takes."""
    short = shorten(name, suffix)
    assert len(short.encode()) <= LONGEST_NAME
    assert short.endswith(suffix)
    assert name.startswith(short.removesuffix(suffix))
    if len((name + suffix).encode()) <= LONGEST_NAME:
        assert short == name + suffix


@given(FILE_NAMES)
def test_a_name_of_any_bytes_can_be_shortened(name: bytes) -> None:
    """A name that is not UTF-8 is shortened to one that the file system takes as well."""
    short = os.fsencode(shorten(os.fsdecode(name), SUFFIX))
    assert len(short) <= LONGEST_NAME
    assert short.endswith(SUFFIX.encode())

"""Values in the submit language: what goes in comes out, and nothing else gets in."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dag_specs.errors import DescriptionError
from dag_specs.submit_language import (
    check_identifier,
    check_number,
    check_path,
    check_text,
    quote_arguments,
    quote_environment,
    quote_string,
)
from tests.unit.dag_specs.submit_text import split_words

DANGEROUS = ("$", '"', "\n", "\r", "\0", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\udcff")

SPECIAL = st.sampled_from([*DANGEROUS, "'", "\\", " ", "\t", "\u00a0", "$(", ")", "$$(", "#", ";", "%", "é", "\u202e"])
WORD = st.lists(st.one_of(SPECIAL, st.characters()), max_size=12).map("".join)


@given(st.lists(WORD, max_size=6))
@example(["it's", "''", "a b", "", "\\"])
def test_arguments_come_out_as_they_went_in(words: list[str]) -> None:
    """Arguments are refused, or read back word for word from one line without macros."""
    try:
        text = quote_arguments(words)
    except DescriptionError:
        assert any(
            word and (word != word.strip() or word.endswith("\\") or set(word) & set(DANGEROUS) or _odd(word))
            for word in words
        )
        return
    assert split_words(text) == words
    assert len(text.splitlines()) == 1
    assert "$" not in text
    assert text.count('"') == 2


def _odd(word: str) -> bool:
    import unicodedata

    return any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in word)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), WORD, max_size=4))
def test_environment_comes_out_as_it_went_in(variables: dict[str, str]) -> None:
    """Variables are refused, or read back as they were."""
    try:
        text = quote_environment(variables)
    except DescriptionError:
        return
    assert dict(word.split("=", 1) for word in split_words(text)) == variables


@pytest.mark.parametrize("character", DANGEROUS)
def test_dangerous_characters_are_refused(character: str) -> None:
    """A line end of any alphabet, a macro, a double quote, a control character and a stray byte never get in."""
    with pytest.raises(DescriptionError, match="cannot be told to HTCondor"):
        check_text(f"a{character}b", "folder")


@pytest.mark.parametrize("text", ["", " a", "a ", "a\t", "a\\", "\u00a0a"])
def test_edges_that_htcondor_drops_are_refused(text: str) -> None:
    """What HTCondor would strip or join with the next line is refused instead of changed."""
    with pytest.raises(DescriptionError):
        check_text(text, "folder")


@pytest.mark.parametrize("path", ["/mnt/l'été/a b", "/mnt/#1;x", "/mnt/back\\slash/x", "/mnt/(1)%{2}&=@`id`"])
def test_unusual_paths_are_fine(path: str) -> None:
    """Blanks, single quotes and other alphabets are no reason to refuse a folder."""
    assert check_path(Path(path), "folder") == path


def test_path_has_to_be_absolute() -> None:
    """A relative path means another folder on another machine."""
    with pytest.raises(DescriptionError, match="absolute"):
        check_path(Path("batches/1"), "folder")


@pytest.mark.parametrize("value", ["", "a b", "-a", "a/b", "a\n", "é", "a" * 201, "$(x)", 'a"'])
def test_identifiers_are_plain(value: str) -> None:
    """An id of ours has letters, digits, dots, dashes and underscores only."""
    with pytest.raises(DescriptionError, match="batch id"):
        check_identifier(value, "batch id")


def test_identifier_is_returned() -> None:
    """A good id comes back as it is."""
    assert check_identifier("20260101-000000-abc.1_x", "batch id") == "20260101-000000-abc.1_x"


@pytest.mark.parametrize("value", [-1, True, 1.0, "1"])
def test_numbers_are_whole(value: object) -> None:
    """Whatever is not an int from the least value up does not become text."""
    with pytest.raises(DescriptionError, match="memory"):
        check_number(value, "memory", 0)  # type: ignore[arg-type]


def test_string_escapes_backslashes() -> None:
    """A backslash in a ClassAd string stays one backslash."""
    assert quote_string("a\\b c", "text") == '"a\\\\b c"'


def test_error_names_the_thing_and_the_way_out() -> None:
    """The message tells which setting is to blame, why, and what to do."""
    with pytest.raises(DescriptionError) as caught:
        check_path(Path("/mnt/$HOME"), "chunk plan")
    assert caught.value.what.startswith("The chunk plan '/mnt/$HOME' cannot be told to HTCondor")
    assert "Rename" in caught.value.way_out


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A-B"])
def test_variable_names_are_plain(name: str) -> None:
    """A name that would end early or start another variable is refused."""
    with pytest.raises(DescriptionError):
        quote_environment({name: "x"})

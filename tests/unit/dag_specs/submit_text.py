"""The submit and DAG languages read back: just enough for what `dag_specs` writes, and apart from its code."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MACRO = re.compile(r"\$\((\w+)\)")


def read_description(text: str) -> dict[str, str]:
    """Read the commands of a submit description; names in lower case as HTCondor takes them, `queue` left out."""
    lines = [line for line in text.split("\n") if line and not line.startswith("queue")]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def expand(value: str, macros: Mapping[str, str]) -> str:
    """Put the macros' values in place."""
    return MACRO.sub(lambda found: macros[found[1]], value)


def split_words(value: str) -> list[str]:
    """Read the "new" syntax of arguments and environments: blanks part words, single quotes keep them together."""
    assert value[0] == value[-1] == '"'
    body = value[1:-1].replace('""', '"')
    words: list[str] = []
    word: str | None = None
    quoted = False
    at = 0
    while at < len(body):
        character = body[at]
        if character == "'":
            word = word or ""
            if quoted and body[at + 1 : at + 2] == "'":
                word += "'"
                at += 1
            else:
                quoted = not quoted
        elif character.isspace() and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
        at += 1
    assert not quoted
    return words if word is None else [*words, word]


@dataclass
class DagText:
    """A DAG file, read."""

    submit_files: dict[str, str] = field(default_factory=dict)
    """By node."""
    macros: dict[str, dict[str, str]] = field(default_factory=dict)
    """By node and name."""
    parents: dict[str, list[str]] = field(default_factory=dict)
    """By node."""
    retries: dict[str, int] = field(default_factory=dict)
    """By node."""
    futile_exits: dict[str, int] = field(default_factory=dict)
    """By node: the exit code after which it is not tried again."""
    priorities: dict[str, int] = field(default_factory=dict)
    """By node."""
    done: set[str] = field(default_factory=set)
    """Nodes that are not run."""
    categories: dict[str, str] = field(default_factory=dict)
    """By node."""
    limits: dict[str, int] = field(default_factory=dict)
    """By category."""


def read_dag(text: str) -> DagText:
    """Read a DAG file with one parent and one child per edge line."""
    dag = DagText()
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "JOB":
            name, _, path = rest.partition(" ")
            if path.endswith('" DONE'):
                dag.done.add(name)
            dag.submit_files[name] = path.removesuffix(" DONE").strip('"')
            dag.macros[name] = {}
            dag.parents[name] = []
        elif word == "VARS":
            name, _, assignment = rest.partition(" ")
            macro, _, value = assignment.partition("=")
            dag.macros[name][macro] = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif word == "RETRY":
            name, count, *unless = rest.split(" ")
            dag.retries[name] = int(count)
            if unless:
                assert unless[0] == "UNLESS-EXIT"
                dag.futile_exits[name] = int(unless[1])
        elif word == "PRIORITY":
            name, _, priority = rest.partition(" ")
            dag.priorities[name] = int(priority)
        elif word == "CATEGORY":
            name, _, category = rest.partition(" ")
            dag.categories[name] = category
        elif word == "MAXJOBS":
            category, _, limit = rest.partition(" ")
            dag.limits[category] = int(limit)
        elif word == "PARENT":
            parent, child = _edge(rest.split())
            dag.parents[child].append(parent)
    return dag


def _edge(words: Sequence[str]) -> tuple[str, str]:
    parent, child_word, child = words
    assert child_word == "CHILD"
    return parent, child

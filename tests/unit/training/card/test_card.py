"""The model card: its bytes, its escaping, its parts, and what it says of groups, candidates and limits."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest

from tests.unit.training.card_sample import HOSTILE, make_facts, make_hostile_facts
from training.card.findings import find_findings, find_limits, is_adverse, misses
from training.card.model_card import CARD_JSON, CARD_PAGE, CardFacts, make_card
from training.card.page import POLICY
from training.card.words import METRICS, count, figure, percent, signed
from training.records.findings import Curves, EqualGroup, Interval, Metrics, Part, Segment, SplitFigures

VOID = {"meta", "link", "img", "br", "hr", "input", "base", "area", "col", "embed", "source", "track", "wbr"}


class Outline(HTMLParser):
    """What a parser of HTML makes of a page: elements in order, their attributes, and all text."""

    def __init__(self, page: bytes) -> None:
        """Parse the whole page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every element is closed in its place."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)

    def all_of(self, tag: str) -> list[dict[str, str | None]]:
        """Give the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def facts() -> CardFacts:
    """Give facts of a version."""
    return make_facts()


@pytest.fixture(scope="module")
def outline(facts: CardFacts) -> Outline:
    """Give its card, parsed."""
    return Outline(make_card(facts)[CARD_PAGE])


def test_same_facts_same_bytes(facts: CardFacts) -> None:
    """A card is a pure function of its facts, also of facts that were written and read again."""
    again = msgspec.json.decode(msgspec.json.encode(facts), type=CardFacts)
    assert make_card(facts) == make_card(make_facts()) == make_card(again)


def test_json_holds_the_facts(facts: CardFacts) -> None:
    """The card for programs gives the very facts back, and the sentences that follow from them."""
    card = msgspec.json.decode(make_card(facts)[CARD_JSON])
    assert list(card) == ["format", "facts", "findings", "limits"]
    assert msgspec.convert(card["facts"], CardFacts) == facts
    assert card["findings"] == list(find_findings(facts))
    assert card["limits"] == list(find_limits(facts))


def test_page_asks_nobody(outline: Outline) -> None:
    """No script, no frame, no address: nothing in the page could make a browser ask for anything."""
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in outline.elements
    }
    policies = [meta for meta in outline.all_of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert [meta["content"] for meta in policies] == [POLICY]
    for _, attributes in outline.elements:
        assert not any(name.startswith("on") or name in {"src", "srcset", "style"} for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = "".join(outline.texts)
    assert re.findall(r"url\((.*?)\)", style) == ["#hatch"]
    assert "@import" not in style


def test_links_and_names_are_unique_and_lead_somewhere(outline: Outline) -> None:
    """Every link of the table of contents has its section, and no name occurs twice."""
    names = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(names) == len(set(names))
    links = [str(link["href"]).removeprefix("#") for link in outline.all_of("a")]
    assert links == [section["id"] for section in outline.all_of("section")]
    assert len(links) == 10


def test_headings_descend_in_order(outline: Outline) -> None:
    """One first heading, and no level is left out on the way down: who listens finds the way."""
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_everything_is_named_for_who_cannot_see(outline: Outline) -> None:
    """Each drawing has a title and a description, each table a caption and headings with a scope."""
    drawings = len(outline.all_of("svg"))
    assert drawings == 10
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in outline.all_of("svg"))
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("desc") == drawings
    assert tags.count("title") == drawings + 1
    assert tags.count("caption") == tags.count("table")
    assert all(cell.get("scope") in {"row", "col"} for cell in outline.all_of("th"))


def test_markup_in_names_stays_text() -> None:
    """Whatever a column, category, file, rule, band or version is called, it is shown and does nothing."""
    tame, hostile = Outline(make_card(make_facts())[CARD_PAGE]), Outline(make_card(make_hostile_facts())[CARD_PAGE])
    assert {tag for tag, _ in tame.elements} == {tag for tag, _ in hostile.elements}
    assert sum(HOSTILE in text for text in hostile.texts) > 8
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    assert not hostile.open


def test_strange_letters_are_written(facts: CardFacts) -> None:
    """A zero byte and letters that turn the direction of reading end in a page, not in an error."""
    replaced = msgspec.structs.replace(facts, why="zero \0, \u202eright to left")
    assert make_card(replaced)[CARD_PAGE].decode()


def test_every_figure_of_the_winner_is_told(facts: CardFacts, outline: Outline) -> None:
    """All metrics stand on the page with four decimals and their intervals, each with its meaning in a phrase."""
    text = " ".join(outline.texts)
    for name, value in msgspec.to_builtins(facts.winner.metrics).items():
        interval = facts.winner.intervals[name]
        assert figure(value, 4) in text
        assert f"{figure(interval.low, 4)} to {figure(interval.high, 4)}" in text
        assert METRICS[name].phrase in text
    assert set(METRICS) == set(Metrics.__struct_fields__)


def test_every_candidate_group_file_and_column_is_told(facts: CardFacts, outline: Outline) -> None:
    """No candidate, group, file, hash, column, package or parameter is missing."""
    text = " ".join(outline.texts)
    for evaluation in facts.evaluations:
        assert figure(evaluation.metrics.auc, 4) in text
        assert count(evaluation.rows_per_second) in text
    for segment in facts.winner.segments:
        assert segment.group in text
        assert count(segment.rows) in text
    for file in facts.data.files:
        assert {file.name, file.sha256, count(file.bytes)} <= set(outline.texts)
    for column in facts.contract.columns:
        assert column.name in outline.texts
    for name, version in facts.learnt.packages.items():
        assert {name, version} <= set(outline.texts)
    assert facts.data.split.test.sha256 in outline.texts
    assert facts.winner.graph_sha256 in outline.texts


def test_monitor_only_columns_are_marked(outline: Outline) -> None:
    """A column that only watches says so beside its name, before all columns that the model sees."""
    tags = [place for place, text in enumerate(outline.texts) if text == "watched only: never seen by the model"]
    assert len(tags) == 1
    groups = outline.texts.index("How it treats groups", tags[0] - 40)
    assert "person_age " in outline.texts[groups : tags[0]]
    assert "loan_grade " not in outline.texts[groups : tags[0]]


def segment(**changes: object) -> Segment:
    """Make a group of 1,000 loans that is treated as the rest."""
    plain = Segment("age", True, "old", 1_000, 140, 0.14, 0.86, 0.99, 0.05, 0.95)  # noqa: FBT003
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize(
    ("one", "adverse"),
    [
        (segment(approval_ratio=0.8), False),
        (segment(approval_ratio=0.7999), True),
        (segment(approval_ratio=0.5, rows=99), False),
    ],
)
def test_four_fifths(one: Segment, *, adverse: bool) -> None:
    """Four fifths exactly are no finding, a little less is one, and a small group is not judged."""
    assert is_adverse(one) is adverse


@pytest.mark.parametrize(
    ("defaults", "missed"), [(140, False), (172, False), (174, True), (108, False), (106, True), (0, True)]
)
def test_group_foretold_wrongly(defaults: int, *, missed: bool) -> None:
    """Of 1,000 loans foretold with 14 %, three standard errors are 33 loans: further off is a finding, either way."""
    assert misses(segment(defaults=defaults)) is missed


def test_findings_name_the_group_and_give_no_verdict(facts: CardFacts) -> None:
    """Groups that only watch come first; the sentence names ratio, loans and rule, and asks to look."""
    first = find_findings(facts)[0]
    assert "person_age (which the model never sees), group 50 to 64" in first
    assert "0.78 of the share" in first
    assert "four-fifths rule" in first
    assert "124 loans" in first
    assert not any("65 and older" in finding for finding in find_findings(facts))


Change = Callable[[CardFacts], CardFacts]


def without_champion(facts: CardFacts) -> CardFacts:
    """Take the champion away."""
    return msgspec.structs.replace(facts, comparison=None)


def with_doubtful_gain(facts: CardFacts) -> CardFacts:
    """Make a gain that may be chance, over a champion that may have seen the loans."""
    assert facts.comparison
    doubtful = msgspec.structs.replace(facts.comparison, auc_gain=0.001, gain=Interval(-0.002, 0.004), fresh=False)
    return msgspec.structs.replace(facts, comparison=doubtful)


def with_restless_fit(facts: CardFacts) -> CardFacts:
    """Let a candidate not have come to rest."""
    first = msgspec.structs.replace(facts.fitted[0], converged=False)
    return msgspec.structs.replace(facts, fitted=(first, *facts.fitted[1:]))


def with_many_rejects(facts: CardFacts) -> CardFacts:
    """Let every tenth row break the contract."""
    data = msgspec.structs.replace(facts.data, rejected={"unknown_category": facts.data.rows_in // 10})
    return msgspec.structs.replace(facts, data=data)


def with_files_of_two_years(facts: CardFacts) -> CardFacts:
    """Let the history be of two files, the newer one first, and a third that is gone."""
    (file, *_) = facts.data.files
    moments = ("2025-12-30T08:00:00Z", "2024-01-02T08:00:00Z", "")
    files = tuple(msgspec.structs.replace(file, modified=moment) for moment in moments)
    return msgspec.structs.replace(facts, data=msgspec.structs.replace(facts.data, files=files))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_champion, "no version in production to compare with"),
        (with_doubtful_gain, "+0.0010 in AUC over 20260803-091500-9f8e7d-forest may be chance"),
        (with_doubtful_gain, "may have been fitted on some of the loans"),
        (with_restless_fit, "Fitting of logistic did not come to rest"),
        (with_many_rejects, "rows of the history (10.0\N{NO-BREAK SPACE}%) broke the contract"),
        (with_files_of_two_years, "Time span: files last written from 2024-01-02, 08:00 UTC to 2025-12-30, 08:00 UTC."),
        (lambda facts: msgspec.structs.replace(facts, policy=None), "This version holds no policy"),
        (
            lambda facts: msgspec.structs.replace(facts, promoted=False, why="it gains nothing."),
            "Not into production: it gains nothing.",
        ),
        (lambda facts: msgspec.structs.replace(facts, limits=("Not for students.",)), "Not for students."),
        (lambda facts: msgspec.structs.replace(facts, candidate="blend"), "a blend of 2 models"),
    ],
)
def test_what_differs_is_told(facts: CardFacts, change: Change, told: str) -> None:
    """What a version lacks, or has besides, is said in words, and the page stays whole."""
    outline = Outline(make_card(change(facts))[CARD_PAGE])
    assert not outline.open
    assert told in " ".join(outline.texts)


def test_records_without_content_count_in_no_share(facts: CardFacts) -> None:
    """Empty records of a history are listed, but neither raise nor lower the share of rows that broke the contract."""
    many = facts.data.rows_in // 2
    rest = facts.data.rows_in - 2 * (many // 2)
    hollow = {"empty_record": many // 2, "blank_line": many // 2}

    def tell(rejected: dict[str, int]) -> str:
        data = msgspec.structs.replace(facts.data, rejected=rejected)
        return " ".join(Outline(make_card(msgspec.structs.replace(facts, data=data))[CARD_PAGE]).texts)

    assert "broke the contract and were left out: if" not in tell({**hollow, "unknown_category": rest // 101})
    told = tell({**hollow, "unknown_category": rest // 10})
    assert f"{rest // 10:,} of {rest:,} rows of the history" in told
    assert "(10.0\N{NO-BREAK SPACE}%) broke the contract" in told
    assert "10.00\N{NO-BREAK SPACE}%" in told
    assert percent(many // 2 / rest, 2) not in told


def test_version_of_which_little_is_known_has_a_card(facts: CardFacts) -> None:
    """Without curves, intervals, groups, importance, parameter sets or rejects there is a page all the same."""
    bare = msgspec.structs.replace(
        facts.winner, curves=Curves((), (), (), (), ()), intervals={}, segments=(), importance=()
    )
    learnt = msgspec.structs.replace(
        facts.learnt, validation=msgspec.structs.replace(facts.learnt.validation, tried=()), parameters={}
    )
    data = msgspec.structs.replace(facts.data, rejected={})
    thin = msgspec.structs.replace(
        facts, evaluations=(bare,), fitted=(learnt,), data=data, comparison=None, policy=None
    )
    outline = Outline(make_card(thin)[CARD_PAGE])
    assert not outline.open
    assert "No group was measured." in outline.texts
    assert "Nothing in the figures stands out; how groups are treated was not measured." in outline.texts
    assert "No row broke the contract." in outline.texts


def test_nobody_defaulted_and_nothing_was_called(facts: CardFacts) -> None:
    """Shares of nothing are told as such, not as an error."""
    metrics = msgspec.structs.replace(facts.winner.metrics, precision=0.0, recall=0.0, f1=0.0, log_loss=float("nan"))
    odd = msgspec.structs.replace(facts.winner, metrics=metrics, rows_per_second=0.0)
    split = SplitFigures(Part(0, 0, ""), Part(0, 0, ""))
    replaced = msgspec.structs.replace(
        facts, evaluations=(odd,), data=msgspec.structs.replace(facts.data, files=(), split=split)
    )
    assert not Outline(make_card(replaced)[CARD_PAGE]).open


def test_limits_are_honest(facts: CardFacts) -> None:
    """Population, time, small groups, and that leaning on is not causing, are among the limits."""
    limits = " ".join(find_limits(facts))
    for told in (
        "another lender",
        "refused",
        "was not tested",
        "loan_grade G (7)",
        "not what causes a default",
        "person_age",
    ):
        assert told in limits


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.12345), "12.3\N{NO-BREAK SPACE}%"),
        (percent(0.0), "0.0\N{NO-BREAK SPACE}%"),
        (percent(0.0001), "< 0.1\N{NO-BREAK SPACE}%"),
        (percent(0.99999), "> 99.9\N{NO-BREAK SPACE}%"),
        (percent(1.0), "100.0\N{NO-BREAK SPACE}%"),
        (percent(None), "\N{EN DASH}"),
        (percent(float("nan")), "\N{EN DASH}"),
        (count(1234567), "1,234,567"),
        (figure(-0.00001, 3), "0.000"),
        (figure(-0.5, 2), "\N{MINUS SIGN}0.50"),
        (signed(0.01234), "+0.0123"),
        (signed(-0.00001), "0.0000"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    """Numbers are rounded, never to a certainty that is none, and nothing is minus nought."""
    assert written == expected


def with_errors(facts: CardFacts, out_of_fold: float) -> CardFacts:
    """Give every candidate standard errors of 0.003, and the winner this AUC out of fold."""
    validation = msgspec.structs.replace(facts.learnt.validation, auc=out_of_fold)
    fitted = [
        msgspec.structs.replace(
            one,
            validation=msgspec.structs.replace(validation if one is facts.learnt else one.validation, auc_error=0.003),
        )
        for one in facts.fitted
    ]
    evaluations = [msgspec.structs.replace(one, auc_error=0.003) for one in facts.evaluations]
    return msgspec.structs.replace(facts, fitted=tuple(fitted), evaluations=tuple(evaluations))


@pytest.mark.parametrize(("difference", "warned"), [(0.0, False), (0.0105, False), (0.0115, True), (-0.0115, True)])
def test_a_card_warns_where_out_of_fold_and_held_out_differ(
    facts: CardFacts, difference: float, *, warned: bool
) -> None:
    """With errors of 0.003 on both sides, a difference of 0.0109 between the AUCs is where chance ends."""
    held_out = facts.winner.metrics.auc
    findings = find_findings(with_errors(facts, held_out - difference))
    told = [finding for finding in findings if f"boosting {held_out - difference:.4f} out of fold" in finding]
    assert len(told) == warned
    assert all(f"{held_out:.4f} held out" in finding and "99 % interval" in finding for finding in told)


def test_a_card_names_loans_that_no_figure_covers(facts: CardFacts) -> None:
    """Large groups of equal loans are a limit, with their rates; one whose probability is off is a finding."""
    groups = (EqualGroup("a", 1_300, 650), EqualGroup("b", 1_200, 120))
    split = msgspec.structs.replace(facts.data.split, set_aside=groups)
    learnt = msgspec.structs.replace(facts.learnt, set_aside_pd={"a": 0.503, "b": 0.25})
    changed = msgspec.structs.replace(
        facts,
        data=msgspec.structs.replace(facts.data, split=split),
        fitted=tuple(learnt if one is facts.learnt else one for one in facts.fitted),
    )
    (limit,) = [one for one in find_limits(changed) if "2,500 of the 37,533 loans" in one]
    for figures in (percent(650 / 1_300), percent(0.503), percent(0.1), percent(0.25)):
        assert figures in limit
    off = set(find_findings(changed)) - set(find_findings(facts))
    assert len(off) == 1
    assert "1,200 loans" in off.pop()
    assert not any("no figure on this card covers" in one for one in find_limits(facts))

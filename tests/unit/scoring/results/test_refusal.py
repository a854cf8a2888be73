"""Too many rejects refuse the file: exactly above the share, told by rule, and with the rejects beside it."""

from pathlib import Path

import pytest

from scoring.chunk.part import name_part
from scoring.errors import FileRefusedError
from scoring.results.merge import gather_outcomes
from scoring.results.reject_share import check_reject_share, publish_rejects
from tests.unit.scoring.conftest import PlanRun, Registry
from tests.unit.scoring.csv_bodies import HEADER

FIRST_LINE = (",".join(HEADER) + "\n").encode()
GOOD, UNKNOWN, SHORT = b"1,2,3,4,A,6,CAR,8\n", b"SECRET,2,3,4,Z,6,CAR,8\n", b"SECRET\n"


def test_share_is_exact(every_rule: Registry, plan_run: PlanRun) -> None:
    """As many rejects as the share allows pass; the smallest share below refuses and names the rules, most first."""
    run = plan_run(every_rule, FIRST_LINE + (GOOD * 7 + UNKNOWN * 2 + SHORT) * 2, 3)
    run.score()
    outcomes = gather_outcomes(run.batch)
    parts = Path(run.batch.parts)
    check_reject_share(outcomes, 20, 0.3, parts)
    with pytest.raises(FileRefusedError) as refused:
        check_reject_share(outcomes, 20, 0.29, parts)
    assert refused.value.code == "too_many_rejects"
    assert "unknown_category in grade 4 times (first on line 9), too_few_fields 2 times (first on line 11)" in (
        refused.value.what
    )
    assert "SECRET" not in refused.value.explain()


def test_share_is_known_before_the_end(every_rule: Registry, plan_run: PlanRun) -> None:
    """The rejects of the parts that are there refuse the file as soon as the rest cannot make up for them."""
    run = plan_run(every_rule, FIRST_LINE + UNKNOWN * 5 + GOOD * 15, 4)
    run.score()
    first = gather_outcomes(run.batch)[:1]
    check_reject_share(first, 20, 0.25, Path(run.batch.parts))
    with pytest.raises(FileRefusedError, match=r"after \d+ of 20 rows"):
        check_reject_share(first, 20, 0.1, Path(run.batch.parts))
    check_reject_share([], 0, 0.2, Path(run.batch.parts))


def test_rejects_are_published_without_predictions(every_rule: Registry, plan_run: PlanRun) -> None:
    """The rejects of a refused file stand beside it, in order, header first."""
    run = plan_run(every_rule, FIRST_LINE + (GOOD + UNKNOWN) * 10, 3)
    run.score()
    target = run.target.rejects
    sealed = publish_rejects(gather_outcomes(run.batch), Path(run.batch.parts), target)
    content = target.read_bytes()
    assert sealed.bytes == len(content)
    parts = [name_part(Path(run.batch.parts), chunk.number).rejects for chunk in run.batch.plan.chunks]
    assert content == b"row_number,line,column,rule,message,raw\n" + b"".join(part.read_bytes() for part in parts)
    assert [line.split(b",")[0] for line in content.splitlines()[1:]] == [b"%d" % row for row in range(2, 21, 2)]


HOLLOW = [b",,,,,,,\n", b'"",,,,,,," "\r\n', b",,,\n", b"\n"]


@pytest.mark.parametrize("hollow", HOLLOW)
def test_records_without_content_count_in_no_share(every_rule: Registry, plan_run: PlanRun, hollow: bytes) -> None:
    """They are neither among the rejected rows nor among all rows, whatever their number, and no rule to be told."""
    run = plan_run(every_rule, FIRST_LINE + hollow * 40 + (GOOD * 4 + hollow * 6 + UNKNOWN) * 2, 3)
    run.score()
    outcomes = gather_outcomes(run.batch)
    assert sum(outcome.without_content for outcome in outcomes) == 52
    assert sum(outcome.rejected for outcome in outcomes) == 54
    parts = Path(run.batch.parts)
    check_reject_share(outcomes, 62, 0.2, parts)
    with pytest.raises(FileRefusedError) as refused:
        check_reject_share(outcomes, 62, 0.19, parts)
    assert refused.value.line == 52
    assert refused.value.what.startswith("2 rows were rejected, more than 19% of the file: unknown_category in grade 2")
    assert "empty_record" not in refused.value.what
    assert "blank_line" not in refused.value.what

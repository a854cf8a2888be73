"""When too many rows are rejected, the file is: what is wrong then is the file, and an analyst wants to hear it."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scoring.atomic import written_atomically
from scoring.chunk.part import Outcome, Sealed, name_part
from scoring.csv.rejects import COLUMNS, DECIMAL_COMMA, HEADER, NO_CONTENT
from scoring.errors import FileRefusedError
from scoring.results.merge import join_files

_RULES_TOLD = 5
_FIELD_LIMIT = 1 << 31


def check_reject_share(outcomes: Sequence[Outcome], rows: int, share: float, parts: Path) -> None:
    """Refuse a file of `rows` records when the parts that are there reject more than `share` of them already.

    Records without content are neither among the rejected ones nor among all. Raises FileRefusedError that tells the
    rules that were broken most, OSError as the storage does.
    """
    without_content = sum(outcome.without_content for outcome in outcomes)
    rejected = sum(outcome.rejected for outcome in outcomes) - without_content
    if rejected <= share * (rows - without_content):
        return
    read = sum(outcome.rows_in for outcome in outcomes)
    so_far = "" if read == rows else f" after {read:,} of {rows:,} rows"
    told, hint, line = _tell_rules(outcomes, parts)
    raise FileRefusedError(
        "too_many_rejects",
        f"{rejected:,} rows were rejected{so_far}, more than {share:.0%} of the file: {told}.",
        f"{hint}The rejects file beside this one tells each row. Mend the file and send it again.",
        line=line,
    )


def _tell_rules(outcomes: Sequence[Outcome], parts: Path) -> tuple[str, str, int | None]:
    """Give the rules that were broken most, a hint for what is common, and the line of the first reject.

    Records without content are passed over.
    """
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    csv.field_size_limit(_FIELD_LIMIT)
    column, rule, line, message = (COLUMNS.index(name) for name in ("column", "rule", "line", "message"))
    commas = False
    for outcome in outcomes:
        path = name_part(parts, outcome.chunk).rejects
        with path.open(encoding="latin-1", newline="") as file:
            for record in csv.reader(file):
                if record[rule] in NO_CONTENT:
                    continue
                key = (record[rule], record[column])
                counts[key] += 1
                first.setdefault(key, record[line])
                commas = commas or DECIMAL_COMMA in record[message]
    told = [
        f"{name}{f' in {where}' if where else ''} {count:,} times (first on line {first[name, where]})"
        for (name, where), count in counts.most_common(_RULES_TOLD)
    ]
    hint = "Its numbers have decimal commas: write them with a point. " if commas else ""
    return ", ".join(told), hint, min(map(int, first.values()), default=None)


def publish_rejects(outcomes: Sequence[Outcome], parts: Path, target: Path) -> Sealed:
    """Publish the rejects of the parts that are there. Raises ProofError or OSError as `join_files` does."""
    with written_atomically(target, "failing.rejects") as file:
        return join_files(
            [(name_part(parts, outcome.chunk).rejects, outcome.rejects) for outcome in outcomes], HEADER, file
        )

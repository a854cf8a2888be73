"""The pages of the documentation that are made from the code's own tables: `make docs` writes them."""

import sys
from pathlib import Path

from inbox_watcher.batch.batch import FINAL, TRANSITIONS
from inbox_watcher.jobs.holds import LONGEST_FOR_STORAGE, describe_table

_MADE = "<!-- Made by `make docs` from {module}; changes here are lost. -->\n"


def draw_states() -> str:
    """Give the page of a batch's states (Markdown with a Mermaid diagram)."""
    first = next(iter(TRANSITIONS))
    arrows = [f"    {state} --> {following}" for state, after in TRANSITIONS.items() for following in after]
    ends = [f"    {state} --> [*]" for state in TRANSITIONS if state in FINAL]
    rows = [f"| {state} | {', '.join(after) or 'nothing: it is final'} |" for state, after in TRANSITIONS.items()]
    return "\n".join(
        [
            _MADE.format(module="`inbox_watcher.batch.batch.TRANSITIONS`"),
            "# States of a batch",
            "",
            "Each state is journaled before the act that leads out of it: whatever cuts it off, it is done again.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {first}",
            *arrows,
            *ends,
            "```",
            "",
            "| state | may be followed by |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def tell_holds() -> str:
    """Give the page of held jobs (Markdown)."""
    return "\n".join(
        [
            _MADE.format(module="`inbox_watcher.jobs.holds.CODES`"),
            "# Held jobs",
            "",
            "HTCondor holds a job that it cannot go on with. What the daemon does depends on the hold code",
            "(`HoldReasonCode` in HTCondor's manual); `loans why BATCH` tells it for a batch.",
            "",
            describe_table(),
            "",
            "- Code 34 for scratch disk (subcode 104) fails the chunk: more memory would not help.",
            "- Codes 3, 21 and 26 count as 34 where the subcode (102) or the reason speaks of memory: pools that",
            "  watch memory by a policy of their own hold with these.",
            "- How often a job was released is counted in HTCondor's event log: a daemon that starts again counts on.",
            "- Where the subcode is what a storage in trouble says (EACCES, EDQUOT, EIO, ENOSPC, ESTALE, ETIMEDOUT), a",
            f"  job stays held for {LONGEST_FOR_STORAGE:.0f} s at most. After its last release the chunk is submitted",
            "  anew, as often as it takes; that is not counted as an attempt, since no file is to blame for it.",
            "- Small files that share a job are treated as the chunks of one file are.",
            "- A chunk that failed is tried again (`scoring.attempts` times in all) as a new job, away from machines",
            "  that this batch's jobs failed on, unless none would be left. When the last attempt fails, the file",
            "  fails with the job's own last words.",
            "",
        ]
    )


PAGES = {"states.md": draw_states, "held-jobs.md": tell_holds}
"""Every made page of docs/, by name."""


def write_pages(folder: Path) -> None:
    """Write every made page into the folder of the documentation."""
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))

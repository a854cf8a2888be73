"""Pages of the documentation that are made from tables are up to date."""

from pathlib import Path

import pytest

from inbox_watcher.batch.batch import TRANSITIONS
from inbox_watcher.explain.documents import PAGES, draw_states, write_pages

DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """What stands in docs/ is what the tables say now; `make docs` writes it again."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_step_is_drawn(tmp_path: Path) -> None:
    """The diagram has one arrow for each allowed step, a beginning and the ends."""
    page = draw_states()
    for state, after in TRANSITIONS.items():
        for following in after:
            assert f"    {state} --> {following}\n" in page
    assert sum(line.startswith("    ") for line in page.splitlines()) == sum(map(len, TRANSITIONS.values())) + 1 + 2
    write_pages(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)

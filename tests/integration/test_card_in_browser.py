"""The model card in a real browser: light and dark, narrow and on paper, and nothing asked of anybody."""

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.browser import Browser, BrowserError, find_browser
from tests.unit.training.card_sample import make_facts, make_hostile_facts
from training.card.model_card import CARD_PAGE, CardFacts, make_card
from training.card.page import POLICY

WIDTHS = (390, 820, 1280)
"""A phone, a tablet, a desk (CSS pixels)."""

PICTURES = 10

CONTRASTS = """(() => {
  // WCAG 2.2, success criterion 1.4.3: relative luminance and contrast ratio.
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.getClientRects().length || ['title', 'desc'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const inks = [light(parse(element.closest('svg') ? style.fill : style.color)), light(ground(element))];
    found.push([(Math.max(...inks) + 0.05) / (Math.min(...inks) + 0.05), node.data.trim().slice(0, 60)]);
  }
  return found;
})()"""
"""Contrast of each piece of text against what is behind it, and the text."""

BOXES = """[...document.querySelectorAll('svg')].map(svg => {
  const box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll('path, polyline, rect, circle, text')].filter(one => !one.closest('pattern'));
  const isOut = one => one.left < box.left - 1 || one.right > box.right + 1
    || one.top < box.top - 1 || one.bottom > box.bottom + 1;
  return {
    width: box.width, height: box.height, left: box.left, right: box.right, marks: marks.length,
    out: marks.filter(one => isOut(one.getBoundingClientRect())).map(one => one.outerHTML),
    smallest: Math.min(...[...svg.querySelectorAll('text')].map(one => one.getBoundingClientRect().height)),
  };
})"""
"""Where each picture is, and which of its marks are out of it (CSS pixels)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser for all tests here."""
    with Browser() as started:
        yield started


def write_card(folder: Path, facts: CardFacts) -> Path:
    """Write a card's page."""
    path = folder / CARD_PAGE
    path.write_bytes(make_card(facts)[CARD_PAGE])
    return path


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the card of a version."""
    return write_card(tmp_path_factory.mktemp("card"), make_facts())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a card in which every name that a lender chooses would be markup."""
    return write_card(tmp_path_factory.mktemp("hostile"), make_hostile_facts())


def read_ground(picture: bytes) -> tuple[int, int, int]:
    """Give the colour of the first pixel of a PNG (8 bits a channel)."""
    content, place, packed = picture, 8, b""
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        if content[place + 4 : place + 8] == b"IDAT":
            packed += content[place + 8 : place + 8 + length]
        place += length + 12
    # The first byte of a line names its filter; the first pixel of the first line is itself under any of them.
    red, green, blue = zlib.decompressobj().decompress(packed, 4)[1:4]
    return red, green, blue


@pytest.mark.parametrize("which", ["card", "hostile"])
def test_nothing_is_asked_of_anybody(browser: Browser, which: str, request: pytest.FixtureRequest) -> None:
    """The browser asks for the page alone, complains of nothing, and runs nothing, whatever names say."""
    path: Path = request.getfixturevalue(which)
    browser.show(1280)
    browser.open(path)
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []
    assert browser.run("document.title").startswith("Model card of ")
    assert browser.run("document.querySelectorAll('script, img, iframe, link').length") == 0


def test_browser_would_tell_of_a_request(browser: Browser, tmp_path: Path) -> None:
    """The same look sees a page that asks for something; the card's policy then forbids it."""
    path = tmp_path / "page.html"
    asking = '<img src="http://elsewhere.example/a.png"><script>document.title = "ran"</script>'
    path.write_text(f"<title>still</title>{asking}")
    browser.open(path)
    assert "http://elsewhere.example/a.png" in browser.requests()
    assert browser.run("document.title") == "ran"
    path.write_text(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>still</title>{asking}')
    browser.open(path)
    assert browser.run("document.title") == "still"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


@pytest.mark.parametrize(("which", "width"), list(product(["card", "hostile"], WIDTHS)))
def test_page_is_as_wide_as_the_screen(
    browser: Browser, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    """The page never scrolls sideways; all pictures are seen, whole, and their letters can be read."""
    browser.show(width)
    browser.open(request.getfixturevalue(which))
    assert browser.run("document.documentElement.scrollWidth") <= width
    boxes = browser.run(BOXES)
    assert len(boxes) == PICTURES
    for box in boxes:
        assert box["width"] > 250
        assert box["height"] > 60
        assert box["left"] >= 0
        assert box["right"] <= width
        assert box["marks"] > 5
        assert box["out"] == []
        assert box["smallest"] > 9


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough(browser: Browser, card: Path, *, dark: bool) -> None:
    """Every piece of text has a contrast of 4.5 to 1 or more against its ground, light and dark (WCAG AA)."""
    browser.show(1280, dark=dark)
    browser.open(card)
    found = browser.run(CONTRASTS)
    assert len(found) > 500
    assert [pair for pair in found if pair[0] < 4.5] == []


def test_dark_is_dark_and_light_is_light(browser: Browser, card: Path, tmp_path: Path) -> None:
    """The reader's preference decides the ground, as the pictures of both show; paper is always light."""
    grounds = {}
    for dark in (False, True):
        browser.show(1280, dark=dark)
        browser.open(card)
        picture = browser.picture()
        (tmp_path / f"{'dark' if dark else 'light'}.png").write_bytes(picture)
        grounds[dark] = read_ground(picture)
    assert min(grounds[False]) > 240
    assert max(grounds[True]) < 48
    browser.show(700, dark=True, medium="print")
    browser.open(card)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(pair[0] >= 4.5 for pair in browser.run(CONTRASTS))


def test_it_prints_on_paper(browser: Browser, card: Path, tmp_path: Path) -> None:
    """A4 pages, not many; no picture is cut, each being lower than a page and kept in one piece."""
    browser.show(680, medium="print")
    browser.open(card)
    # 210 x 297 mm less the margins, at 96 pixels an inch.
    figures = browser.run(
        "[...document.querySelectorAll('figure')].map(one => "
        "[one.getBoundingClientRect().height, getComputedStyle(one).breakInside])"
    )
    assert len(figures) == PICTURES
    assert all(height < 269 / 25.4 * 96 and kept == "avoid" for height, kept in figures)
    paper = browser.paper()
    (tmp_path / "card.pdf").write_bytes(paper)
    assert paper.startswith(b"%PDF-")
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)
    assert {(round(float(width)), round(float(height))) for width, height in sizes} == {(595, 842)}
    assert 5 <= len(re.findall(rb"/Type /Page\b", paper)) <= 14


def test_wide_tables_are_reached_by_keyboard(browser: Browser, card: Path) -> None:
    """On a narrow screen a wide table scrolls by itself, and can be scrolled without a mouse."""
    browser.show(390)
    browser.open(card)
    regions = browser.run(
        "[...document.querySelectorAll('.table')].map(one => [one.scrollWidth > one.clientWidth, one.tabIndex, "
        "one.getAttribute('aria-label')])"
    )
    assert any(wider for wider, _, _ in regions)
    assert all(place == 0 and name for _, place, name in regions)


def test_missing_browser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no browser the tests fail with a sentence and the way out; they are not skipped."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BrowserError, match=r"There is no Chromium .*apt-get install --no-install-recommends chromium"):
        find_browser()

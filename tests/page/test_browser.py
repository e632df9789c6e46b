"""The pages in a browser, opened from the disk: sorting, filtering, comparing, phones, and no errors.

Needs Playwright's package and a Chromium of the system: ``$CHROMIUM``, else one on the path.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_reading import HOSTILE, build
from synthetic_scores import comparison_frame, scores_frame

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.extras
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must end without a message on the console, an error or a request to anybody."""
    context = browser.new_context(viewport=DESK)
    opened, said = context.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
    )
    opened.on("requestfailed", lambda request: said.append(request.url))
    yield opened
    context.close()
    assert said == []


def column(page: Page, number: int) -> list[str]:
    rows = page.locator("#leaderboard tbody tr:visible")
    return [rows.nth(k).locator("th, td").nth(number).inner_text() for k in range(rows.count())]


def first_number(text: str) -> float:
    return float(text.partition(" ")[0].replace("−", "-"))


def test_the_leaderboard_sorts_by_click_and_by_keyboard(page: Page, out: Path) -> None:
    page.goto((out / "index.html").as_uri())
    headers = page.locator("#leaderboard thead tr").last.locator("th")
    titles = headers.all_inner_texts()
    place = next(k for k, title in enumerate(titles) if title.startswith("clean"))
    headers.nth(place).locator("button").click()
    rising = [first_number(text) for text in column(page, place)]
    assert rising == sorted(rising)
    assert headers.nth(place).get_attribute("aria-sort") == "ascending"
    headers.nth(place).locator("button").focus()
    page.keyboard.press("Enter")
    assert [first_number(text) for text in column(page, place)] == sorted(rising, reverse=True)
    assert headers.nth(place).get_attribute("aria-sort") == "descending"
    missing = next(k for k, title in enumerate(titles) if title.startswith("N_DC"))
    for _ in range(2):
        headers.nth(missing).locator("button").click()
        assert column(page, missing)[-2:] == ["–", "–"]
    assert page.locator("[aria-sort]").count() == 1
    headers.first.locator("button").click()
    assert column(page, 0) == sorted(column(page, 0))


def test_the_leaderboard_filters_by_text_and_data_set(page: Page, out: Path) -> None:
    page.goto((out / "index.html").as_uri())
    assert len(column(page, 0)) == 6
    page.get_by_label("Augmentation contains").fill("CUTMIX")
    assert set(column(page, 0)) == {"cutmix", "dropmix(rate=0.4, of=cutmix)"}
    page.get_by_label("Data set").select_option("cifar10")
    assert column(page, 0) == ["cutmix"]
    assert page.locator("#filter output").inner_text() == "1 of 6 shown"
    page.get_by_label("Augmentation contains").fill("nothing like it")
    assert column(page, 0) == []


def test_every_page_opens_and_none_is_wider_than_a_phone(page: Page, out: Path) -> None:
    page.set_viewport_size(PHONE)
    for path in sorted(out.rglob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path.name
        assert page.locator("main").is_visible()


def test_what_is_touched_is_large_enough(page: Page, out: Path) -> None:
    page.set_viewport_size(PHONE)
    for name in ("index.html", "compare.html"):
        page.goto((out / name).as_uri())
        for target in page.locator("nav a, button:visible, select:visible, input:visible").all():
            box = target.bounding_box()
            assert box is not None
            assert box["height"] >= 44


def test_two_methods_are_compared_and_the_address_keeps_them(page: Page, out: Path) -> None:
    page.goto((out / "groups" / "digits.small_cnn.mixup.html").as_uri())
    page.get_by_role("link", name="Compare with vanilla").click()
    assert page.locator("#side-a option:checked").inner_text() == "vanilla (small_cnn, digits)"
    assert page.locator("#side-b option:checked").inner_text() == "mixup (small_cnn, digits)"
    row = page.locator("#versus-tables tr").filter(has_text="Error (%): clean")
    before, after, change = (first_number(row.locator("td").nth(k).inner_text()) for k in range(3))
    assert change == pytest.approx(after - before, abs=0.011)
    page.get_by_label("B", exact=True).select_option(label="cutmix (small_cnn, digits)")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert page.locator("#side-b option:checked").inner_text() == "cutmix (small_cnn, digits)"
    page.get_by_label("Order").select_option("size")
    table = page.locator("#versus-tables table").filter(has_text="Recall by class")
    changes = [abs(first_number(text)) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert changes == sorted(changes, reverse=True)


def test_without_a_script_all_numbers_are_there(browser: Browser, out: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    bare = context.new_page()
    bare.goto((out / "index.html").as_uri())
    assert bare.locator("#leaderboard tbody tr").count() == 6
    assert not bare.locator("#filter").is_visible()
    context.close()


def test_hostile_names_stay_text(page: Page, tmp_path: Path) -> None:
    scores = scores_frame(("vanilla", HOSTILE), classes=(HOSTILE, "a", "b"), seeds=1)
    build(tmp_path, scores, comparison_frame(scores), title=HOSTILE)
    page.on("dialog", lambda dialog: pytest.fail("a name was run as a script"))
    for path in sorted(tmp_path.rglob("*.html")):
        page.goto(path.as_uri())
    page.goto((tmp_path / "compare.html").as_uri())
    assert HOSTILE in page.locator("#versus-tables").inner_text()

"""The report in a real browser: offline, without an error, by mouse and keyboard, on a phone, in the dark."""

import shutil
from itertools import pairwise

import pytest

from segtune.config import ReportConfig
from segtune.report.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}

CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
    .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const solid = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const behind = (element) => { for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/rgba\\(.*, 0\\)|transparent/.test(color)) return solid(color); }
    return solid("white"); };
  const lowest = {};
  const kinds = "h1, h2, h3, p, li, a, dt, dd, th, td, button, summary, figcaption, pre, svg text";
  for (const element of document.querySelectorAll(kinds)) {
    if (!element.textContent.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element);
    const ink = light(solid(element.closest("svg") ? style.fill : style.color)), paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const name = element.localName + "." + element.className;
    lowest[name] = Math.min(ratio, lowest[name] ?? 21);
  }
  return lowest;
}"""
"""The lowest contrast of ink on paper of each kind of text. Source: WCAG 2.2, contrast ratio."""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium here to open the page with")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(hostile_run, tmp_path_factory):
    return write_report(ReportConfig(hostile_run, output=tmp_path_factory.mktemp("page") / "report ü.html")).path


@pytest.fixture
def open_page(browser, report):
    """Opens the report; at the end of the test, nothing may have been asked for, and nothing have gone wrong."""
    pages, wrong = [], []

    def opened(viewport=DESKTOP, **options):
        page = browser.new_page(viewport=viewport, **options)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_load_state("load")
        pages.append((page, asked))
        return page

    yield opened
    for page, asked in pages:
        assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
        page.close()
    assert wrong == []


def left_edge(page) -> str:
    return page.evaluate("getComputedStyle(document.querySelector('.wiper img.right')).clipPath")


def test_slider_wipes_by_mouse(open_page):
    page = open_page()
    wiper = page.locator(".wiper").first
    wiper.scroll_into_view_if_needed()
    box = wiper.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 3, steps=5)
    page.mouse.up()
    assert left_edge(page) == "inset(0px 0px 0px 25%)"
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 5)
    assert left_edge(page) == "inset(0px 0px 0px 80%)"


def test_slider_wipes_by_keyboard_and_shows_focus(open_page):
    page = open_page()
    page.locator("#right-view").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range"
    assert page.evaluate("getComputedStyle(document.querySelector('.wiper')).outlineStyle") == "solid"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert left_edge(page) == "inset(0px 0px 0px 53%)"
    page.keyboard.press("Home")
    assert left_edge(page) in {"inset(0px)", "inset(0px 0px 0px 0%)"}


def test_two_views_are_chosen(open_page):
    page = open_page()
    shown = "[...document.querySelectorAll('.wiper')].map(w => [...w.querySelectorAll('img')]"
    shown += ".filter(i => getComputedStyle(i).visibility === 'visible').map(i => i.dataset.view).join())"
    assert set(page.evaluate(shown)) == {"picture,prediction"}
    page.select_option("#left-view", "labels")
    page.select_option("#right-view", "difference")
    assert set(page.evaluate(shown)) == {"labels,difference"}
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0 && image.alt)")


def test_classes_are_sorted_by_click_and_keyboard(open_page):
    page = open_page()
    column = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => +row.cells[1].dataset.value)"
    page.get_by_role("button", name="IoU", exact=True).click()
    values = page.evaluate(column)
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert page.evaluate(column) == sorted(values)
    page.get_by_role("button", name="class").click()
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_a_point_hovered_shows_its_value(open_page):
    page = open_page()
    text = page.locator("figure:has-text('Training loss') .point text").first
    assert not text.is_visible()
    page.locator("figure:has-text('Training loss') .point rect").first.hover()
    assert text.is_visible()
    assert text.text_content().startswith("epoch 1: ")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_is_not_wider_than_the_screen(open_page, viewport):
    page = open_page(viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    hidden = "[...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg, pre')"
    hidden += f" && e.getBoundingClientRect().right > {viewport['width']}).map(e => e.outerHTML.slice(0, 80))"
    assert page.evaluate(hidden) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page, scheme):
    page = open_page(color_scheme=scheme)
    lowest = page.evaluate(CONTRAST)
    assert len(lowest) > 12
    assert {name: ratio for name, ratio in lowest.items() if ratio < 4.5} == {}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(paper.split("(")[1].split(",")[0]) < 60) == (scheme == "dark")


def test_hostile_names_stay_text(open_page):
    page = open_page()
    assert page.get_by_text("<img src=x onerror=alert(1)>").count() > 0
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("script").count() == 1


def test_page_is_whole_without_its_script_and_on_paper(open_page):
    for page in (open_page(java_script_enabled=False), open_page()):
        page.emulate_media(media="print")
        assert page.locator(".wiper").first.locator("img:visible").count() == 4
        assert not page.locator(".wiper input").first.is_visible()


def test_headings_have_no_gaps_and_controls_have_names(open_page):
    page = open_page()
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(e => +e.localName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = page.evaluate(
        "[...document.querySelectorAll('input, select, button, a, [role=region]')]"
        ".map(e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent)"
    )
    assert all(name.strip() for name in names)

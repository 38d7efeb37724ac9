"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark; nothing is asked for elsewhere."""

import io
import json
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from segtune.pictures import read_picture

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium here to open the page with")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page; at the end of the test nothing may have gone wrong, nor have been asked for elsewhere."""
    wrong, asked, pages = [], [], []

    def opened(viewport=DESKTOP, url=address, **options):
        page = browser.new_page(viewport=viewport, **options)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append((url, request.url)))
        page.goto(url)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert [url for base, url in asked if not url.startswith((base, "blob:", "data:"))] == []
    # Browsers say by themselves what the page then shows.
    assert [text for text in wrong if "the server responded with a status of 422" not in text] == []


def choose(page, *contents, names=None):
    names = names or [f"picture {index}.png" for index in range(len(contents))]
    files = [
        {"name": name, "mimeType": "image/png", "buffer": content}
        for name, content in zip(names, contents, strict=True)
    ]
    page.set_input_files("#files", files)
    page.locator("#result").wait_for(state="visible")


def overlay_pixels(page) -> np.ndarray:
    """The colours over the picture, (H, W, 4) RGBA."""
    script = """() => { const canvas = document.querySelector('#overlay');
      const {width, height} = canvas;
      return [width, height, [...canvas.getContext('2d').getImageData(0, 0, width, height).data]]; }"""
    width, height, values = page.evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)


def test_chosen_picture_is_shown_with_its_classes(open_page, predictor, picture_file):
    page = open_page()
    page.locator("#model", has_text="deeplabv3plus:efficientnet_lite0, 3 classes").wait_for()
    choose(page, picture_file())
    prediction = predictor.predict(read_picture(picture_file()))
    pixels = overlay_pixels(page)
    assert pixels.shape == (72, 96, 4)
    assert np.abs(pixels[..., :3].astype(int) - prediction.colors).max() <= 2  # the canvas premultiplies
    assert sorted(page.locator("#classes .name").all_inner_texts()) == ["box", "floor", "wall"]
    shares = [float(text.rstrip(" %")) for text in page.locator("#classes .share").all_inner_texts() if text != "–"]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert shares == sorted(shares, reverse=True)


def test_opacity_and_switches_change_the_overlay(open_page, picture_file):
    page = open_page()
    choose(page, picture_file())
    page.locator("#opacity").fill("25")
    assert set(np.unique(overlay_pixels(page)[..., 3])) == {64}
    assert page.inner_text("#opacity-shown") == "25 %"
    first = page.locator("#classes input").first
    first.focus()
    page.keyboard.press("Space")
    assert 0 in overlay_pixels(page)[..., 3]
    page.get_by_role("button", name="None").click()
    assert not overlay_pixels(page).any()
    page.get_by_role("button", name="All").click()
    assert (overlay_pixels(page)[..., 3] == 64).all()


def test_pointing_tells_class_and_confidence_by_mouse_and_keyboard(open_page, predictor, picture_file):
    page = open_page()
    choose(page, picture_file())
    prediction = predictor.predict(read_picture(picture_file()))
    box = page.locator("#overlay").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.1)
    row, column = int(72 * 0.1), 48
    name = prediction.classes.names[prediction.class_ids[row, column]]
    sure = round(100 * float(prediction.confidence[row, column]))
    assert page.inner_text("#here").startswith(f"{name}, ")
    assert f"(x {column}, y {row})" in page.inner_text("#here")
    assert abs(int(page.inner_text("#here").split(", ")[1].split(" %")[0]) - sure) <= 1
    page.locator("#view").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    assert f"(x {column + 1}, y {row + 2})" in page.inner_text("#here")
    assert page.locator("#cursor").is_visible()


def test_downloads_are_what_was_predicted(open_page, predictor, picture_file):
    page = open_page()
    choose(page, picture_file(), names=["my street.png"])
    prediction = predictor.predict(read_picture(picture_file()))

    def download(button):
        with page.expect_download() as started:
            page.get_by_role("button", name=button).click()
        return started.value.suggested_filename, started.value.path().read_bytes()

    name, content = download("Labels")
    assert name == "my street-labels.png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), prediction.class_ids)
    name, content = download("Polygons")
    assert name == "my street-polygons.geojson"
    assert json.loads(content)["type"] == "FeatureCollection"
    name, content = download("Overlay")
    assert name == "my street-overlay.png"
    assert Image.open(io.BytesIO(content)).size == (96, 72)


def test_sample_paste_and_drop_bring_pictures(open_page, picture_file):
    page = open_page()
    page.get_by_role("button", name="Try the sample").focus()
    page.keyboard.press("Enter")
    page.locator("#result").wait_for(state="visible")
    send = """([kind, values]) => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(values)], kind + '.png', {type: 'image/png'}));
      const event = kind === 'paste' ? new ClipboardEvent(kind, {clipboardData: data, bubbles: true})
                                     : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
      document.body.dispatchEvent(event); }"""
    for kind in ("paste", "drop"):
        page.evaluate(send, [kind, list(picture_file())])
        page.locator(f"#pictures button[title='{kind}.png'] img").wait_for()
    assert page.locator("#pictures img").count() == 3


def test_what_is_no_picture_is_told_and_the_next_one_is_done(open_page, picture_file):
    page = open_page()
    page.set_input_files(
        "#files",
        [
            {"name": "<b>bad</b>.png", "mimeType": "image/png", "buffer": b"nothing"},
            {"name": "good.png", "mimeType": "image/png", "buffer": picture_file()},
        ],
    )
    page.locator("#result").wait_for(state="visible")
    page.locator("#pictures button.failed").click()
    assert "<b>bad</b>.png" in page.inner_text("#status")
    assert "Expected: JPEG, PNG" in page.inner_text("#status")


class Waiting:
    """A page with the pictures a, b and c, whose predictions go on one by one, when told."""

    def __init__(self, page, picture: bytes) -> None:
        self.page = page
        self._asked = []
        page.route("**/v1/predict*", lambda route: self._asked.append(route))
        files = [{"name": name, "mimeType": "image/png", "buffer": picture} for name in "abc"]
        page.set_input_files("#files", files)

    def wait_for_request(self) -> None:
        deadline = time.monotonic() + 30
        while not self._asked:
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(20)

    def go_on(self) -> None:
        self._asked.pop(0).continue_()

    def choose(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def chosen(self) -> str:
        return self.page.locator("#pictures button[aria-current=true]").get_attribute("title")


def test_a_picture_that_is_chosen_while_it_waits_is_shown_when_it_is_done(open_page, picture_file):
    waiting = Waiting(open_page(), picture_file())
    result = waiting.page.locator("#result")
    for name in "abc":
        waiting.wait_for_request()
        waiting.choose(name)
        result.wait_for(state="hidden")
        waiting.go_on()
        result.wait_for(state="visible")
        assert waiting.chosen() == name


def test_a_picture_that_is_chosen_before_its_turn_stays_chosen(open_page, picture_file):
    waiting = Waiting(open_page(), picture_file())
    result = waiting.page.locator("#result")
    waiting.choose("c")
    for _ in "abc":
        waiting.wait_for_request()
        assert result.is_hidden()
        waiting.go_on()
    result.wait_for(state="visible")
    assert waiting.chosen() == "c"


def test_token_is_asked_for(browser, serving, trained_run, picture_file):
    with serving(trained_run / "model.safetensors", "--backend", "eager", SEGTUNE_TOKEN="hidden") as (address, _):
        page = browser.new_page()
        page.goto(address)
        for token in ("wrong", "hidden"):
            page.get_by_role("textbox", name="Token").fill(token)
            page.keyboard.press("Enter")
            if token == "wrong":
                page.get_by_text("The server did not take that token.").wait_for()
        page.get_by_text("3 classes").wait_for()
        choose(page, picture_file())
        page.close()


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_all_fits_into_the_window(open_page, picture_file, viewport, scheme):
    page = open_page(viewport, color_scheme=scheme)
    choose(page, picture_file(360, 480))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background.strip("rgb()").split(","))) < 200) == (scheme == "dark")

"""Makes docs/images/report.png: .venv/bin/python docs/images/report.py RUN/report.html docs/images/report.png."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1180, 1000
SIZE = 1400, 593
"""Of the picture, so that it stays below 400 kB with true colours."""


def shoot(page_path: Path, target: Path) -> None:
    """A report's head and curves on the left, its worst pictures on the right, side by side."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_path.resolve().as_uri())
        shots = []
        for anchor in ("body", "#pictures"):
            page.evaluate(f"document.querySelector('{anchor}').scrollIntoView({{behavior: 'instant'}})")
            shots.append(Image.open(io.BytesIO(page.screenshot())))
        browser.close()
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for place, shot in enumerate(shots):
        both.paste(shot, (place * WIDTH, 0))
    both.resize(SIZE, Image.Resampling.LANCZOS).save(target, optimize=True)


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), Path(sys.argv[2]))

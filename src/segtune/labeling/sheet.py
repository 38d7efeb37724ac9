"""The contact sheet: chosen pictures, the prediction, and where the model is unsure. It asks nothing of any network."""

from html import escape

import cv2
import numpy as np
from PIL import Image

from segtune.arrays import Array
from segtune.classes import ClassTable
from segtune.labeling.uncertainty import Look, Uncertainty
from segtune.prediction.draw import overlay
from segtune.web_page import img, swatch, web_page

THUMBNAIL = 320
QUALITY = 72
MAX_PICTURES = 200
"""At about 50 kB for a picture and its maps, the page stays below 10 MB."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem; }
h1 { line-height: 1.2; } ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: .4em; outline: 1px solid #888;
vertical-align: -.1em; } figure { margin: 0 0 1.5rem; border-top: 1px solid var(--line); padding-top: .5rem; }
figure div { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px; }
img { width: 100%; height: auto; display: block; } figcaption { font-size: .9rem; overflow-wrap: anywhere; }
"""


class Sheet:
    """Collects what is shown of each picture; only small JPEGs are kept.

    Args:
        table: The classes, for the legend.
        is_compared: Whether labelled pictures were known, so that distances are from them, too.
    """

    def __init__(self, table: ClassTable, is_compared: bool) -> None:
        self._table = table
        self._is_compared = is_compared
        self._figures: dict[int, str] = {}
        self._num_pictures = 0

    def add(
        self, place: int, name: str, uncertainty: Uncertainty, distance: float, like: str, picture: Array, look: Look
    ) -> None:
        """Add a picture.

        Args:
            place: Its rank, from 0; in this order they are shown.
            name: What it is called.
            uncertainty: Of the whole.
            distance: From the nearest other; may be infinite.
            like: What it is a copy or neighbour of, or an empty string.
            picture: uint8 (H, W, 3).
            look: What the model says of it.
        """
        self._num_pictures += 1
        if place >= MAX_PICTURES:
            return
        shown = [
            ("picture", picture),
            ("prediction over the picture", overlay(picture, look.prediction.class_ids, self._table)),
            ("uncertainty: the brighter, the less sure", heat(look.uncertainty)),
        ]
        images = "".join(_embedded(pixels, f"{what} of {name}") for what, pixels in shown)
        facts = [f"uncertainty {uncertainty.score:.3f}"]
        facts += [f"distance {distance:.3f}"] if np.isfinite(distance) else []
        facts += [f"like {escape(like)}"] if like else []
        caption = f"<b>{place + 1}. {escape(name)}</b> {', '.join(facts)}"
        self._figures[place] = f"<figure><figcaption>{caption}</figcaption><div>{images}</div></figure>"

    def page(self) -> str:
        """The whole page."""
        title = f"{self._num_pictures} pictures to label next"
        others = "the labelled pictures and those before it" if self._is_compared else "the pictures before it"
        legend = "".join(
            f"<li>{swatch(color)}{escape(name)}</li>"
            for name, color in zip(self._table.names, self._table.colors, strict=True)
        )
        shown = "" if self._num_pictures <= MAX_PICTURES else f" The first {MAX_PICTURES} are shown."
        body = [
            f"<h1>{title}</h1>",
            "<p>The most useful first: pictures of which the model is unsure, and that are unlike "
            f"{others}. Each with the prediction and with where the model is unsure.{shown}</p>",
            f"<ul>{legend}</ul>",
            *(self._figures[place] for place in sorted(self._figures)),
        ]
        return web_page(title, STYLE, "\n".join(body))


def heat(values: np.ndarray) -> Array:
    """Values of 0 to 1, (H, W), as colours from black over red to yellow: uint8 (H, W, 3) RGB."""
    scaled = (values.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB), np.uint8)


def _embedded(pixels: Array, title: str) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return img(picture, title, QUALITY)

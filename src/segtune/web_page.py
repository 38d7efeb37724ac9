"""The frame of a page that opens from a file and asks nothing of any network; pictures and colours inside its text."""

import base64
import hashlib
import io
from html import escape
from typing import Any

from PIL import Image

from segtune.classes import Color

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may load and run for a page: nothing but what stands in it, should a name ever slip into its HTML."""


def web_page(title: str, style: str, body: str, script: str = "") -> str:
    """An HTML page.

    Args:
        title: Plain text.
        style: Its CSS.
        body: HTML; names and texts in it must be escaped.
        script: Its JavaScript; no other can run.
    """
    policy = POLICY
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>\n{body}\n"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def data_uri(picture: Image.Image, kind: str, **options: Any) -> str:
    """A picture as the address of its own content.

    Args:
        picture: Any that ``kind`` can hold.
        kind: 'jpeg' or 'png'.
        options: Pillow's, for saving.
    """
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def img(picture: Image.Image, title: str, quality: int) -> str:
    """An ``<img>`` that holds its picture, as JPEG; ``title`` is plain text."""
    size = f'width="{picture.width}" height="{picture.height}"'
    uri = data_uri(picture, "jpeg", quality=quality)
    return f'<img {size} loading="lazy" alt="{escape(title)}" src="{uri}">'


def swatch(color: Color) -> str:
    """A spot of a class's colour; the page's CSS gives its shape."""
    return f'<span class="swatch" style="background:{css_color(color)}"></span>'


def css_color(color: Color) -> str:
    """An RGB colour for CSS: ``#ff0000``."""
    return "#{:02x}{:02x}{:02x}".format(*color)

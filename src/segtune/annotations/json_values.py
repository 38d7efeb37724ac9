"""Values out of JSON that nobody has checked: each of the kind that is expected, or a BadAnnotation that says so."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, numbered
from segtune.annotations.source import MAX_PROBED, UNZIP_ERRORS, ExportSource
from segtune.errors import UserError
from segtune.spread import spread


def as_dict(value: Any, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadAnnotation: It is something else.
    """
    if not isinstance(value, dict):
        raise BadAnnotation(f"{what} is {_kind(value)}, expected an object")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    """A JSON list; nothing counts as an empty one.

    Raises:
        BadAnnotation: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadAnnotation(f"{what} is {_kind(value)}, expected a list")
    return value


def as_text(value: Any, what: str) -> str:
    """A text, or a number as a text.

    Raises:
        BadAnnotation: It is something else, or empty.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise BadAnnotation(f"{what} is {_kind(value)}, expected a text")
    return str(value)


def objects_of(image: ImageBuilder, items: Any, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with a name for messages; what is no object becomes a problem of the picture."""
    with image.reading(""):
        for index, item in numbered(as_list(items, f"the list of its {what}s")):
            if isinstance(item, dict):
                yield f"{what} {index}", item
            else:
                image.problem(f"{what} {index} is {_kind(item)}, expected an object")


def from_base64(text: Any) -> bytes:
    """Bytes of a text, which may be a data: URL.

    Raises:
        BadAnnotation: It is none.
    """
    if not isinstance(text, str) or not text:
        raise BadAnnotation("its mask is missing")
    try:
        return base64.b64decode(text[text.find(",") + 1 :] if text.startswith("data:") else text)
    except ValueError as error:
        raise BadAnnotation(f"its mask is not base64 ({error})") from error


def probed_json(source: ExportSource, *words: bytes) -> Iterator[Any]:
    """The contents of JSON files that have all ``words``, of an even selection; unreadable ones are left out.

    To look for words takes a hundredth of the time of parsing.
    """
    for name in spread(source.with_suffix(".json"), MAX_PROBED):
        try:
            if _has_words(source, name, words):
                yield source.json(name)
        except UserError:
            continue  # reading the format that the others have tells what is wrong


def _has_words(source: ExportSource, name: str, words: Sequence[bytes]) -> bool:
    missing = set(words)
    tail = b""
    try:
        with source.open(name) as file:
            while missing and (chunk := file.read(2**20)):
                chunk = chunk.replace(b"\0", b"")  # UTF-16 has a zero byte beside each of these letters
                missing = {word for word in missing if word not in tail + chunk}
                tail = chunk[-64:]
    except UNZIP_ERRORS:
        return False
    return not missing


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    return {dict: "an object", list: "a list", str: f"the text {str(value)[:40]!r}", bool: "true or false"}.get(
        type(value), f"the number {str(value)[:40]}"
    )

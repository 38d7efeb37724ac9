"""Values out of JSON that nobody has checked: each of the kind that is expected, or a BadAnnotation that says so."""

from collections.abc import Iterator
from typing import Any

from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, numbered


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


def as_key(value: Any, what: str) -> str | int:
    """An id: a number or a text.

    Raises:
        BadAnnotation: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadAnnotation(f"{what} is {_kind(value)}, expected a number")
    return value


def objects_of(image: ImageBuilder, items: Any, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with a name for messages; what is no object becomes a problem of the picture."""
    with image.reading(""):
        for index, item in numbered(as_list(items, f"the list of its {what}s")):
            if isinstance(item, dict):
                yield f"{what} {index}", item
            else:
                image.problem(f"{what} {index} is {_kind(item)}, expected an object")


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    return {dict: "an object", list: "a list", str: f"the text {str(value)[:40]!r}", bool: "true or false"}.get(
        type(value), f"the number {str(value)[:40]}"
    )

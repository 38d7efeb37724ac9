"""ClassTable: the classes' ids, names and colours; read from and written to classes.yaml."""

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from segtune.errors import UserError, listed
from segtune.files import write_text

Color = tuple[int, int, int]

IGNORE = 255
"""The label value that never counts, in loss or score. Other ignore values become this one when labels are read."""

BACKGROUND_MEANINGS = {
    "class": "pixels outside all objects are class 0",
    "ignore": "pixels outside all objects never count",
    "error": "no pixel was outside all objects",
}
"""What the values of ``ClassTable.background`` say."""

MAX_CLASSES = 255
CLASSES_FILE = "classes.yaml"

FIRST_COLORS: tuple[Color, ...] = (
    (0, 0, 0), (230, 25, 75), (255, 225, 25), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (220, 190, 255), (170, 110, 40),
    (255, 250, 200), (128, 0, 0), (170, 255, 195), (128, 128, 0), (255, 215, 180), (0, 0, 128),
)  # fmt: skip
"""Colours that are easy to tell apart; the first, black, is for a background."""


def hex_color(text: object) -> Color | None:
    """#rrggbb as numbers; None for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"\s*#[0-9a-fA-F]{6}\s*", text):
        return None
    red, green, blue = bytes.fromhex(text.strip()[1:])
    return red, green, blue


@dataclass(frozen=True)
class ClassTable:
    """The classes of a dataset or a model. A class's id is its place in ``names``.

    Attributes:
        names: Class names; all different.
        colors: One RGB colour for each class, 0..255.
        ignore_value: The value in label files that never counts; ``IGNORE`` (255) never counts either.
        paint_order: Class names from the bottom to the top, where the annotations were painted so; else empty.
        background: What pixels outside all objects were painted as: 'class', the class of id 0; 'ignore', the ignored
            value; 'error', there were none. Empty where that isn't known.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_value: int = IGNORE
    paint_order: tuple[str, ...] = ()
    background: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise UserError(f"{len(self.names)} classes; 1 to {MAX_CLASSES} can be held in 8-bit label images.")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise UserError(f"Class names are repeated: {listed(repeated)}.", "Give each class a name of its own.")
        if len(self.colors) != len(self.names):
            raise UserError(f"{len(self.colors)} colours for {len(self.names)} classes; one for each was expected.")
        if not all(len(color) == 3 and all(0 <= value <= 255 for value in color) for color in self.colors):
            raise UserError("A class colour is not three numbers from 0 to 255.")
        if not 0 <= self.ignore_value <= 255:
            raise UserError(f"The ignore value is {self.ignore_value}; 0 to 255 was expected.")
        if self.background and self.background not in BACKGROUND_MEANINGS:
            raise UserError(f"'background' is {self.background!r}; {listed(BACKGROUND_MEANINGS)} was expected.")
        if self.ignore_value < len(self.names):
            raise UserError(
                f"The ignore value {self.ignore_value} is also the id of class {self.names[self.ignore_value]!r}.",
                f"The {len(self.names)} classes have the ids 0 to {len(self.names) - 1}: choose an ignore value above.",
            )

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.names)

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """RGB colours of all 256 label values, uint8 (256, 3); white for ignored ones, black for the rest."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.colors)] = self.colors
        palette[[self.ignore_value, IGNORE]] = 255
        return palette

    def colored(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Label values, uint8 (H, W) -> their colours, uint8 (H, W, 3) RGB."""
        # Several times as fast as palette[labels].
        return np.take(self.palette, labels, axis=0)

    def to_dict(self) -> dict[str, Any]:
        """The table as plain values, for YAML, JSON and model headers."""
        table: dict[str, Any] = {
            "classes": [
                {"id": index, "name": name, "color": list(color)}
                for index, (name, color) in enumerate(zip(self.names, self.colors, strict=True))
            ],
            "ignore_value": self.ignore_value,
        }
        if self.paint_order:
            table["paint_order"] = list(self.paint_order)
        if self.background:
            table["background"] = self.background
        return table

    @staticmethod
    def from_dict(table: Any, source: str) -> "ClassTable":
        """The inverse of ``to_dict``.

        Args:
            table: Plain values; a class may also be just its name.
            source: Where they stand, for error messages.

        Raises:
            UserError: The values are not a class table.
        """
        try:
            if not isinstance(table["classes"], list):
                raise TypeError("'classes' is not a list")
            entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in table["classes"]]
            names = tuple(_name(entry["name"]) for entry in entries)
            given = [entry.get("color") for entry in entries]
            ids = [int(entry.get("id", index)) for index, entry in enumerate(entries)]
            colors = tuple(
                distinct_color(index) if color is None else (int(color[0]), int(color[1]), int(color[2]))
                for index, color in enumerate(given)
            )
            ignore_value = int(table.get("ignore_value", IGNORE))
            paint_order = tuple(str(name) for name in table.get("paint_order", ()))
            background = str(table.get("background", ""))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{source} is not a class table ({type(error).__name__}: {error}).",
                "Expected: a list 'classes', each with 'name' and, if wanted, 'id' and 'color' [red, green, blue].",
            ) from error
        if ids != list(range(len(ids))):
            raise UserError(f"{source}: the class ids are {listed(ids)}; 0, 1, 2, … in order was expected.")
        return ClassTable(names, colors, ignore_value, paint_order, background)


def _name(value: Any) -> str:
    """A class name; numbers and words like ``yes`` are names too, nested values are not."""
    if not isinstance(value, str | int | float | bool):
        raise TypeError("a class name is not a word")
    # YAML reads JSON's escapes of an emoji as two halves of a character; one alone stands for nothing.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16")


def distinct_color(index: int) -> Color:
    """A colour for class ``index`` that differs well from those of the classes before it."""
    if index < len(FIRST_COLORS):
        return FIRST_COLORS[index]
    # Steps of the golden ratio round the colour circle never meet (Ankerl, "How to generate random colors").
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.5 + 0.5 * (index % 2), 0.6 + 0.4 * (index % 3) / 2)
    return round(red * 255), round(green * 255), round(blue * 255)


def class_table(names: Sequence[str], ignore_value: int = IGNORE, paint_order: Sequence[str] = ()) -> ClassTable:
    """A ClassTable with ``distinct_color`` for each name."""
    colors = tuple(distinct_color(index) for index in range(len(names)))
    return ClassTable(tuple(names), colors, ignore_value, tuple(paint_order))


def numbered_classes(num_classes: int, ignore_value: int = IGNORE) -> ClassTable:
    """The table of a dataset without names: ``class_0``, ``class_1`` and so on."""
    return class_table([f"class_{index}" for index in range(num_classes)], ignore_value)


PLAIN_TAGS = frozenset({f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")})


YAML_ERRORS = (yaml.YAMLError, RecursionError, ValueError, OverflowError)
"""What reading YAML raises: the last two for escapes that are no character, or bytes that are no text."""


class PlainLoader(yaml.BaseLoader):
    """Reads all values as text, so that a class may be called 'no' or '1.0'; no aliases, as they may have no end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node of text, a list or a mapping."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases, which a list of classes does not need")
        node = super().compose_node(parent, index)
        if node is not None and node.tag not in PLAIN_TAGS:
            raise yaml.YAMLError(f"it has the tag {node.tag}, which a list of classes does not need")
        return node


def read_classes(path: Path) -> ClassTable:
    """Read a classes.yaml.

    Raises:
        UserError: It can't be read, is not YAML, or is not a class table.
    """
    try:
        table = yaml.load(path.read_text(encoding="utf-8-sig"), PlainLoader)
    except (OSError, *YAML_ERRORS) as error:
        raise UserError(f"{path} could not be read as YAML: {error}", "Mend it, or remove it.") from error
    return ClassTable.from_dict(table, str(path))


def write_classes(path: Path, table: ClassTable) -> None:
    """Write a classes.yaml, atomically."""
    lines = ["# Class ids are the values in Labels/*.png."]
    lines += ["classes:"]
    lines += [
        f"  - {{id: {entry['id']}, name: {yaml_word(entry['name'])}, color: {entry['color']}}}"
        for entry in table.to_dict()["classes"]
    ]
    lines += [f"ignore_value: {table.ignore_value}"]
    if table.background:
        lines += [f"background: {table.background}  # {BACKGROUND_MEANINGS[table.background]}"]
    if table.paint_order:
        lines += [f"paint_order: [{', '.join(yaml_word(name) for name in table.paint_order)}]"]
    write_text(path, "\n".join(lines) + "\n")


def yaml_word(name: str) -> str:
    """``name`` as a YAML scalar that reads back as the same string in a flow sequence."""
    style = None if name.isprintable() else '"'  # in other styles, some line separators are read back as blanks
    word: str = yaml.safe_dump(
        [name], default_style=style, default_flow_style=True, allow_unicode=True, width=10**6
    ).strip()[1:-1]
    return word

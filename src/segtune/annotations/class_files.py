"""Files beside label images that say what their values or colours mean -> LabelTable."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import yaml

from segtune.annotations.label_image import LabelTable, make_table
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE, ClassTable, Color
from segtune.errors import UserError, listed

Entry = tuple[int | None, str | None, Color | None]

VOID_NAMES = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored"})
"""In lower case: pixels so called never count, where each pixel of a picture must have some name."""

MAX_FILE_BYTES = 2**20


def read_class_file(source: ExportSource) -> LabelTable | None:
    """The table of an export's label images, from the first file that holds one; None where there is none.

    Raises:
        UserError: The file is broken, or gives two classes one colour.
    """
    for pattern, parse in PARSERS:
        for name in sorted(source.names, key=lambda name: name.count("/")):
            if re.fullmatch(pattern, PurePosixPath(name).name, re.IGNORECASE):
                entries = _parsed(source, name, parse)
                if entries:
                    _refuse_shared_colors(f"{source.path}: {name}", entries)
                    if IGNORE not in {value for value, _, _ in entries}:
                        entries = [*entries, (IGNORE, None, None)]
                    return make_table(entries)
    return None


def _parsed(source: ExportSource, name: str, parse: Callable[[str], list[Entry]]) -> list[Entry]:
    text = source.text(name)
    if len(text) > MAX_FILE_BYTES:
        raise UserError(f"{name} in {source.path} is too long for a list of classes.", "Is it another file?")
    try:
        return parse(text)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(
            f"{name} in {source.path} is no list of classes that can be read ({type(error).__name__}: {error}).",
            "Mend it or remove it.",
        ) from error


def _refuse_shared_colors(where: str, entries: Sequence[Entry]) -> None:
    names: dict[Color, list[str]] = defaultdict(list)
    for _, name, color in entries:
        if color is not None:
            names[color].append(str(name))
    shared = [f"{color}: {listed(owners)}" for color, owners in names.items() if len(set(owners)) > 1]
    if shared:
        raise UserError(
            f"{where} gives classes the same colour, so that they can't be told apart: {listed(shared)}.",
            "Give each a colour of its own in the annotation tool, and export again.",
        )


def _color(values: Sequence[str]) -> Color:
    red, green, blue = (int(value) for value in values[:3])
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"the colour {red},{green},{blue} is not of 0 to 255")
    return red, green, blue


def _name(text: str) -> str | None:
    """A class's name; None where it says that pixels don't count."""
    return None if text.strip().casefold() in VOID_NAMES else text.strip()


def parse_labelmap(text: str) -> list[Entry]:
    """CVAT's labelmap.txt: ``name:red,green,blue:parts:actions``; a name may hold colons."""
    entries: list[Entry] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, color, *_ = line.strip().rsplit(":", 3)
            entries.append((len(entries), name.strip(), _color(color.split(",")) if color else None))
    return entries


def parse_label_colors(text: str) -> list[Entry]:
    """CamVid's label_colors.txt: ``red green blue name``, with blanks or tabs; a name may hold blanks."""
    lines = [line.split(None, 3) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(index, _name(line[3]), _color(line)) for index, line in enumerate(lines)]


def _parse_roboflow(text: str) -> list[Entry]:
    """Roboflow's _classes.csv: a title line, then ``value, name``; or ``name, red, green, blue`` as class_dict.csv."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if any(row)]
    entries: list[Entry] = []
    for row in rows:
        if len(row) >= 4 and all(cell.isdigit() for cell in row[1:4]):
            entries.append((len(entries), _name(row[0]), _color(row[1:4])))
        elif len(row) >= 2 and row[0].isdigit():
            entries.append((int(row[0]), row[1], None))
    return entries


def _parse_names(text: str) -> list[Entry]:
    """A name a line, in the order of the values."""
    return [(index, line.strip(), None) for index, line in enumerate(text.splitlines()) if line.strip()]


def _parse_yaml(text: str) -> list[Entry]:
    """Segtune's classes.yaml; a list or a mapping of names serves as well."""
    if re.search(r"[&*]\w", text) and re.search(r":\s*[&*]\w|-\s*[&*]\w", text):
        raise ValueError("it has anchors, which could make it endless")
    content = yaml.safe_load(text)
    if isinstance(content, dict) and "classes" in content:
        table = ClassTable.from_dict(content, "classes.yaml")
        entries: list[Entry] = [(index, table.names[index], table.colors[index]) for index in range(table.num_classes)]
        return [*entries, (table.ignore_value, None, None)]
    names = content.get("names", content) if isinstance(content, dict) else content
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return [(int(value), str(name), None) for value, name in pairs]


def _parse_id2label(text: str) -> list[Entry]:
    """Hugging Face's id2label.json."""
    return [(int(value), str(name), None) for value, name in json.loads(text).items()]


PARSERS: tuple[tuple[str, Callable[[str], list[Entry]]], ...] = (
    (r"classes\.ya?ml", _parse_yaml),
    (r"labelmap\.txt", parse_labelmap),
    (r"label_colors?\.txt", parse_label_colors),
    (r"_?classes\.csv|class_dict.*\.csv|labels\.csv", _parse_roboflow),
    (r"id2label\.json", _parse_id2label),
    (r"classes\.txt|labels\.txt|class_names\.txt", _parse_names),
)
"""File names, and how they are read; the first that is there counts."""

"""Files beside label images that say what their values or colours mean -> LabelTable."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import yaml

from segtune.annotations.label_image import LabelTable, make_table
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE, YAML_ERRORS, ClassTable, Color, PlainLoader
from segtune.errors import UserError, listed

Entry = tuple[int | None, str | None, Color | None]

VOID_NAMES = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored"})
"""In lower case: pixels so called never count, where each pixel of a picture must have some name."""

MAX_FILE_BYTES = 2**20


def has_class_file(source: ExportSource) -> bool:
    """Whether a file has a name that says that it holds classes."""
    names = [PurePosixPath(name).name for name in source.names]
    return any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern, _ in PARSERS for name in names)


def read_class_file(source: ExportSource, only: str = ".*") -> LabelTable | None:
    """The table of an export's label images, from the first file that holds one; None where there is none.

    Args:
        source: The export.
        only: What the file's name must match.

    Raises:
        UserError: The file is broken, or gives two classes one colour.
    """
    for pattern, parse in PARSERS:
        names = [
            name
            for name in source.names
            if all(re.fullmatch(one, PurePosixPath(name).name, re.IGNORECASE) for one in (pattern, only))
        ]
        for depth in sorted({name.count("/") for name in names}):
            near = [name for name in names if name.count("/") == depth]
            found = {name: entries for name in near if (entries := _parsed(source, name, parse))}
            if not found:
                continue
            _refuse_different(source, found)
            name, entries = next(iter(found.items()))
            _refuse_shared_colors(f"{source.path}: {name}", entries)
            if IGNORE not in {value for value, _, _ in entries}:
                entries = [*entries, (IGNORE, None, None)]
            return replace(make_table(entries), by_value=parse in BY_VALUE)
    return None


def _refuse_different(source: ExportSource, found: Mapping[str, list[Entry]]) -> None:
    """Raise UserError where files of one name say different things."""
    first, *others = found
    rivals = [
        name for name in others if PurePosixPath(name).name == PurePosixPath(first).name and found[name] != found[first]
    ]
    if rivals:
        raise UserError(
            f"{source.path} holds class files that differ: {listed([first, *rivals], 4)}.",
            "If these are several exports, convert the first, and add each of the others with --merge.",
        )


def _parsed(source: ExportSource, name: str, parse: Callable[[str], list[Entry]]) -> list[Entry]:
    text = source.text(name)
    if len(text) > MAX_FILE_BYTES:
        raise UserError(f"{name} in {source.path} is too long for a list of classes.", "Is it another file?")
    try:
        return parse(text)
    except (KeyError, TypeError, IndexError, AttributeError, csv.Error, *YAML_ERRORS) as error:
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
    if lines and not any(line[0].isdigit() for line in lines):
        return [(index, _name(" ".join(line)), None) for index, line in enumerate(lines)]
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
    names = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.match(r"(\d{1,5})(?:\s*[:=,;.]\s*|\s+)(\S.*)", name) for name in names]
    if names and all(numbered):
        return [(int(found[1]), found[2], None) for found in numbered if found]
    return [(index, name, None) for index, name in enumerate(names)]


def _parse_yaml(text: str) -> list[Entry]:
    """Segtune's classes.yaml; a list or a mapping of names serves as well."""
    content = yaml.load(text, PlainLoader)
    if isinstance(content, dict) and "classes" in content:
        table = ClassTable.from_dict(content, "classes.yaml")
        # The colours that the table makes up for classes without one are not the export's.
        given = [isinstance(entry, dict) and entry.get("color") is not None for entry in content["classes"]]
        colors = [color if own else None for color, own in zip(table.colors, given, strict=True)]
        entries: list[Entry] = list(zip(range(table.num_classes), table.names, colors, strict=True))
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
    (r"data\.ya?ml", _parse_yaml),
    (r"classes\.txt|labels\.txt|class_names\.txt|codes\.txt", _parse_names),
)
"""File names, and how they are read; the first that is there counts."""

BY_VALUE = frozenset({_parse_yaml, _parse_id2label, _parse_names})
"""These say what values mean; their colours, if any, are for showing."""

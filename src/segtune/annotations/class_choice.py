"""Which class each label of an export becomes: names, ids, colours, what is merged, ignored, or the background."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from segtune.annotations.annotated_image import DeclaredClass
from segtune.classes import IGNORE, ClassTable, Color, distinct_color
from segtune.config import ConversionOptions, list_of_names, names_in
from segtune.errors import DataError, UserError, listed, nearest
from segtune.files import name_key

BACKGROUND = "background"
BACKGROUND_LABELS = frozenset({"background", "_background_"})
UNLABELED = frozenset({
    "unlabelled", "unlabeled", "not labelled", "not labeled", "no label", "no-label", "no_label", "ignore", "ignored",
    "void", "__ignore__",
})  # fmt: skip
"""Labels, in lower case, that may mean a class or that pixels don't count."""

CONVENTIONS = frozenset({"_background_", "__ignore__"})
"""labelme's own names, whose meaning is in no doubt."""


class UnknownClassesError(DataError):
    """Objects have classes that are not among those asked for."""


@dataclass(frozen=True)
class ClassChoice:
    """What the labels of an export become.

    Attributes:
        table: The classes.
        ids: The id that each label is painted as; None stands for pixels that never count.
        ranks: The place of each label in the paint order; None where there is no such order.
        warnings: What looks like a mistake, a sentence each.
    """

    table: ClassTable
    ids: Mapping[str | None, int]
    ranks: Mapping[str | None, int] | None
    warnings: Sequence[str]

    @property
    def outside(self) -> int:
        """The value of pixels outside all objects."""
        return 0 if self.table.background == "class" else IGNORE

    def class_name(self, label: str | None) -> str:
        """What a label became, for reports."""
        value = self.ids[label]
        return "ignored" if value == IGNORE else self.table.names[value]


def choose_classes(
    options: ConversionOptions, objects: Mapping[str | None, int], declared: Sequence[DeclaredClass], complete: bool
) -> ClassChoice:
    """Decide about all labels.

    Args:
        options: What the person asked for.
        objects: How many objects have each label.
        declared: The classes that the export declares.
        complete: Whether each pixel carries a label.

    Raises:
        UserError: The options don't fit the labels, or leave in doubt what they mean.
    """
    labels = {label for label in objects if label is not None}
    # Declared order is the tool's own; it stays when classes come to have objects.
    known = list(dict.fromkeys([*(entry.name for entry in declared), *sorted(labels)]))
    chosen = names_in(options.classes)
    renamed = _parse_map(options, known)
    ignored = _parse_ignored(options, known)
    named = {*chosen, *renamed, *ignored}
    if options.background == "auto" and not complete:
        _ask_about_background(
            sorted(label for label in labels if label not in named and label.lower() not in CONVENTIONS)
        )
    background = options.background
    if background == "auto":
        left = [renamed.get(label, label) for label in known if label not in ignored]
        background = "class" if not complete or any(map(is_background, left)) else "error"
    ignored |= {label for label in known if label not in named and _means_ignored(label, background)}
    targets = {label: renamed.get(label, label) for label in known if label not in ignored}
    called = next((name for name in chosen if is_background(name)), BACKGROUND)
    targets = {label: called if is_background(name) and name not in chosen else name for label, name in targets.items()}
    names = _class_names(options, chosen, targets, objects, background)
    table = ClassTable(
        names=names,
        colors=_colors(names, targets, declared),
        paint_order=_paint_order(options, names, {targets[label] for label in labels & targets.keys()}),
        background=background,
    )
    ids: dict[str | None, int] = {None: IGNORE, **dict.fromkeys(ignored, IGNORE)}
    ids |= {label: names.index(target) for label, target in targets.items() if target in names}
    rank = {name: place for place, name in enumerate(table.paint_order)}
    # What never counts lies on top.
    ranks = {label: rank.get(targets.get(label, ""), len(rank)) for label in [*ids]} if rank else None  # type: ignore[arg-type]
    return ClassChoice(table, ids, ranks, _warnings(names, {targets.get(label) for label in labels}))


def background_id(table: ClassTable) -> int | None:
    """The class that pixels outside all objects are, which nobody draws; None where there is none.

    By its name alone a class is that only where it has id 0, and where the dataset doesn't say otherwise.
    """
    is_class = table.background == "class" or (not table.background and is_background(table.names[0]))
    return 0 if is_class else None


def is_background(label: str) -> bool:
    """Whether a label is a name of the background, in whatever letters."""
    return label.casefold() in BACKGROUND_LABELS


def _means_ignored(label: str, background: str) -> bool:
    """Whether a label's own name says that its pixels don't count, once the background is decided."""
    return label.casefold() in UNLABELED or (background == "ignore" and is_background(label))


def _ask_about_background(labels: Sequence[str]) -> None:
    """Raise where it is in doubt what labels and the pixels outside all objects mean."""
    doubtful = [label for label in labels if is_background(label) or label.casefold() in UNLABELED]
    if doubtful:
        quoted = listed(repr(label) for label in doubtful)
        raise UserError(
            f"The export has objects of the class {quoted}: what do these, and the pixels outside all objects, mean?",
            "Say so: --background class (outside is a class 'background'; 'background' objects belong to it, and"
            " objects called unlabelled, ignore or void never count), --background ignore (none of these counts), or"
            " --background error (each pixel must lie in an object). To keep a name as an ordinary class, list all"
            " classes with --classes; to merge it, --map " + f"{doubtful[0]!r}=NAME; to ignore it, --ignore-labels.",
        )


def _parse_map(options: ConversionOptions, known: Sequence[str]) -> dict[str, str]:
    """--map as old name -> new name."""
    renamed = {}
    for part in names_in(options.map):
        old, sign, new = (text.strip() for text in part.rpartition("="))
        if not sign or not old or not new:
            raise UserError(f"--map has {part!r}; OLD=NEW was expected.", "As in --map car=vehicle,truck=vehicle")
        if old in renamed:
            raise UserError(f"--map names {old!r} twice.", "Give it one new name.")
        _must_know("--map", old, known)
        renamed[old] = new
    return renamed


def _parse_ignored(options: ConversionOptions, known: Sequence[str]) -> set[str]:
    for name in names_in(options.ignore_labels):
        _must_know("--ignore-labels", name, known)
    return set(names_in(options.ignore_labels))


def _must_know(option: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = nearest(name, known) or f"It has: {listed(known, 30)}."
        raise UserError(f"{option} names the class {name!r}, which the export does not have.", hint)


def _class_names(
    options: ConversionOptions,
    chosen: Sequence[str],
    targets: Mapping[str, str],
    objects: Mapping[str | None, int],
    background: str,
) -> tuple[str, ...]:
    """The names in the order of their ids.

    Raises:
        UnknownClassesError: Objects have classes that --classes doesn't name.
    """
    wanted = list(chosen or dict.fromkeys(targets.values()))
    own = next((name for name in wanted if is_background(name)), BACKGROUND if background == "class" else None)
    names = ([own] if own else []) + [name for name in wanted if name != own]
    unknown = [
        f"{label} ({objects[label]} objects)"
        for label, target in targets.items()
        if target not in names and objects.get(label)
    ]
    if unknown:
        raise UnknownClassesError(
            f"{listed(names)} are the classes asked for, but there are objects of other classes:",
            unknown,
            f"Add them to --classes {options.classes}, or to --ignore-labels, or merge them with --map.",
        )
    if not set(names) - {own}:
        raise UserError(
            "No class is left but the background: there is nothing to learn.", "Ignore or merge fewer classes."
        )
    return tuple(names)


def _colors(names: Sequence[str], targets: Mapping[str, str], declared: Sequence[DeclaredClass]) -> tuple[Color, ...]:
    """The export's colours; another for a class that has none or shares one."""
    given: dict[str, Color] = {}
    for entry in declared:
        if entry.color is not None and entry.name in targets:
            given.setdefault(targets[entry.name], entry.color)
    colors: list[Color] = []
    for index, name in enumerate(names):
        free = (distinct_color(place) for place in range(index, index + 2 * len(names) + 1))
        fallback = next(color for color in free if color not in colors and color not in given.values())
        color = given.get(name, (0, 0, 0) if is_background(name) else fallback)
        colors.append(color if color not in colors else fallback)
    return tuple(colors)


def _paint_order(options: ConversionOptions, names: Sequence[str], present: set[str]) -> tuple[str, ...]:
    order = names_in(options.paint_order)
    if not order:
        return ()
    unknown = [name for name in order if name not in names]
    left_out = [name for name in sorted(present) if name not in order]
    if unknown or left_out:
        problem = "names classes that the dataset does not have" if unknown else "leaves out classes"
        meant = [[name] if name in names else get_close_matches(name, left_out, 1) for name in order]
        known = list(dict.fromkeys(name for match in meant for name in match))
        # Where a class belongs that was not named at all is not known; in the wrong place it would hide others.
        missing = [name for name in left_out if name not in known]
        to_add = f", with {listed(missing)} in the right place" if missing else ""
        raise UserError(
            f"--paint-order {problem}: {listed(unknown or left_out)}.",
            f"Name each class once, from the bottom to the top{to_add}: --paint-order"
            f" {shlex.quote(list_of_names(known))}",
        )
    twice = [name for name, count in Counter(order).items() if count > 1]
    if twice:
        raise UserError(f"--paint-order names a class twice: {listed(twice)}.", "Name each once.")
    return order


def _warnings(names: Sequence[str], present: set[str | None]) -> list[str]:
    """Classes that nothing has, and names that look the same."""
    unused = [name for name in names if name not in present and not is_background(name)]
    warnings = [f"no object has the class {listed(unused)}"] if unused else []
    same: dict[str, list[str]] = defaultdict(list)
    for name in names:
        same[name_key(name)].append(name)
    return warnings + [
        f"the classes {listed(map(repr, group))} differ only in capitals or accents' encoding: one class? Then merge"
        f" them: --map {group[1]}={group[0]}"
        for group in same.values()
        if len(group) > 1
    ]


def count_classes(choice: ClassChoice, objects: Mapping[tuple[str | None, str], int]) -> Counter[str]:
    """How many objects each class has, of how many there are by label and kind."""
    counts: Counter[str] = Counter()
    for (label, _), count in objects.items():
        counts[choice.class_name(label)] += count
    return counts

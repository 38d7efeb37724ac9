"""What an export holds, before anything is painted: its pictures, their sizes, its objects, and all that is wrong."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, Shape
from segtune.annotations.export import Export
from segtune.config import ConversionOptions
from segtune.console import track
from segtune.errors import DataError, UserError, listed
from segtune.pictures import same_shape

MISSING = "annotated pictures that are not there"


@dataclass
class Entry:
    """What is kept of an annotated picture while all are read for the first time.

    Attributes:
        name: Its path, as the export writes it.
        picture: Its file in the export.
        size: Height and width.
        subset: What the export puts it in: train, val, test, or empty.
        labels: The labels that it has.
        split: Where it goes, once that is decided.
        target: Its file name there.
    """

    name: str
    picture: str
    size: tuple[int, int]
    subset: str
    labels: frozenset[str | None]
    split: str = ""
    target: str = ""


@dataclass
class Inventory:
    """What the export holds: everything but the shapes themselves.

    Attributes:
        entries: The annotated pictures in their order; None for one that is left out.
        objects: How many there are of each label and kind.
        skipped: What was left out, by reason.
        warnings: What looks like a mistake, a sentence each.
    """

    entries: list[Entry | None] = field(default_factory=list)
    objects: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: dict[str, None] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Entry]:
        """Those that are not left out."""
        return [entry for entry in self.entries if entry is not None]


def take_inventory(export: Export, annotations: Annotations, options: ConversionOptions) -> Inventory:
    """Read all annotations once, and find all that is wrong with them and their pictures.

    Raises:
        DataError: Something is.
    """
    inventory = Inventory()
    problems: list[str] = []
    missing: list[str] = []
    annotated: dict[str, list[str]] = defaultdict(list)
    files: set[str] = set()  # label images are pictures, too
    for image in track(annotations.images(), "Reading the export"):
        shapes = wanted_shapes(image.shapes, options, inventory.skipped)
        inventory.skipped.update(image.skipped)
        inventory.warnings.update(dict.fromkeys(image.warnings))
        inventory.entries.append(None)
        files.add(image.file)
        asked = image.name, image.subset, image.file, image.own_subset
        picture = image.picture or export.pictures.find(*asked)
        where = f"{image.file}: {image.name}" if image.file and image.file != image.name else image.name
        if image.problems:
            problems += [f"{where}: {problem}" for problem in image.problems]
        elif picture is None:
            missing.append(f"{where}: {export.pictures.why_missing(*asked)}")
        else:
            annotated[picture].append(where)
            size, problem = _check_size(export, image, picture, options)
            problems += [f"{where}: {problem}"] if problem else []
            if not shapes and image.has_objects:
                inventory.skipped["pictures whose objects are all left out"] += 1
                continue
            if not shapes and options.empty == "skip":
                inventory.skipped["pictures without objects (--empty background takes them as background)"] += 1
                continue
            inventory.entries[-1] = Entry(
                image.name, picture, size, image.subset, frozenset(shape.label for shape in shapes)
            )
            inventory.objects.update((shape.label, shape.kind) for shape in shapes)
    if missing and not options.allow_missing:
        problems += missing
    inventory.skipped[MISSING] += len(missing)
    problems += [
        f"{picture} is annotated {len(names)} times: {listed(names)}"
        for picture, names in annotated.items()
        if len(names) > 1
    ]
    inventory.skipped["pictures without annotations"] += len(set(export.pictures.names) - annotated.keys() - files)
    if problems:
        hint = "Mend these in the export."
        if missing:
            hint = "Export with pictures, name their folder with --images, or go on without them with --allow-missing."
        raise DataError(f"{export.source.path} can't be converted as it is:", problems, hint)
    return inventory


def wanted_shapes(shapes: Sequence[Shape], options: ConversionOptions, skipped: Counter[str]) -> list[Shape]:
    """The shapes that are painted; boxes are, on request."""
    wanted = [shape for shape in shapes if options.boxes or shape.kind != "box"]
    skipped["boxes (--boxes fills them)"] += len(shapes) - len(wanted)
    return wanted


def _check_size(
    export: Export, image: AnnotatedImage, picture: str, options: ConversionOptions
) -> tuple[tuple[int, int], str]:
    """Height and width of a picture, and what is wrong with them, or an empty string."""
    try:
        size = export.pictures.size(picture)
    except UserError as error:
        return (0, 0), error.message
    if image.size in {None, size}:
        return size, ""
    (rows, columns), (height, width) = image.size or size, size
    stated = f"it was annotated at {columns} x {rows} pixels, but {picture} is shown at {width} x {height}"
    if (columns, rows) == size:
        return size, (
            f"{stated}: height and width are exchanged, as by an EXIF orientation that the tool did not apply; turn the"
            " picture's pixels, remove the EXIF tag, or annotate again"
        )
    if same_shape((rows, columns), size):
        return size, "" if options.scale else f"{stated}: the same shape, so --scale can fit the annotations"
    return size, f"{stated}: is it another picture, or a cropped one?"


def check_usable(inventory: Inventory, source: Path, min_pictures: int = 2) -> None:
    """Raise UserError where too little is left to convert, with all that was left out and how to keep it."""
    num_pictures = sum(entry.subset != "test" for entry in inventory.pictures)
    # Where a dataset is there already, pictures without objects are something to learn, too.
    if num_pictures >= min_pictures and (inventory.objects or (not min_pictures and inventory.pictures)):
        return
    if inventory.objects:
        problem = (
            f"1 annotated picture of {source} can be used" if num_pictures else f"{source} holds test pictures alone"
        )
        problem += "; at least 2 are needed, one to train on and one to validate with."
    else:
        problem = f"{source} holds no outline or mask that can be used: there is nothing to paint."
    left_out = [f"\nLeft out: {reason}: {count}." for reason, count in (+inventory.skipped).items()]
    advice = ["Annotate more, with polygons or masks."]
    if inventory.objects and not num_pictures:
        advice = ['Its file, folder or subset is called "test": rename that to divide the pictures into train and val.']
    if inventory.skipped[MISSING]:
        advice.insert(0, "--images names the folder that has the pictures.")
    raise UserError(problem + "".join(left_out), " ".join(advice))

"""Which files of an export are masks, and which picture each belongs to: told by the names of folders and files."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from segtune.annotations.image_builder import subset_named
from segtune.files import name_key
from segtune.pictures import PICTURE_SUFFIXES

MASK_WORDS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "gt", "groundtruth", "groundtruths",
    "labelimages", "labeledapproved",
})  # fmt: skip
"""Words in the name of a folder of masks, in lower case."""

MASK_FOLDERS = frozenset({
    "segmentation", "segmentations", "seg", "segs", "target", "targets", "ground_truth",
    "ground_truths", "ground truth",
})  # fmt: skip
"""Names of such folders that may well be a part of other names."""

PICTURE_WORDS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "jpegimages", "rgb", "input", "inputs",
    "original", "originals", "frame", "frames",
})  # fmt: skip
SHOWN_WORDS = frozenset(
    {"color", "colors", "colour", "colored", "rgb", "vis", "viz", "visualization", "overlay", "overlays"}
)
"""Words in the name of a folder of masks that are for looking at, beside others."""

MASK_ENDING = re.compile(r"(.+?)[-_. ](?:masks?|labels?|labelids|seg|segmentation|gt|annotation|L|P)$")
MASK_START = re.compile(r"(?:mask|label|gt|seg)[-_. ]?(.+)$", re.IGNORECASE)
PICTURE_AFFIX = re.compile(r"(?:(?:image|img)[-_. ]?(?P<a>.+)|(?P<b>.+?)[-_. ](?:image|img|sat|rgb))$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelFile:
    """A label image and the picture that it belongs to.

    Attributes:
        name: The picture's name, for messages; its path where it is known.
        labels: The label image, by its name in the source; empty: the export lists the picture, but has none.
        picture: The picture, by its name in the source; empty: to be found by ``name``.
        subset: train, val, test, or empty.
        candidates: Several pictures that fit alike: which of them it is, nobody said.
    """

    name: str
    labels: str
    picture: str = ""
    subset: str = ""
    candidates: tuple[str, ...] = ()


def pair_masks(names: Iterable[str], more_pictures: Iterable[str] = ()) -> list[LabelFile]:
    """All masks, with their pictures where these are there.

    Args:
        names: All files of the export.
        more_pictures: Pictures from elsewhere.
    """
    names = [name for name in names if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES]
    masks = {name for name in names if _is_in_mask_folder(name)}
    pictures = [name for name in dict.fromkeys([*names, *more_pictures]) if name not in masks]
    by_stem = _Stems(pictures)
    # Beside the pictures an ending tells, but only where the picture is there, too: 'a_L.jpg' may be a left picture.
    beside = {name: found for name in names if name not in masks and (found := by_stem.beside(name))}
    files = [_label_file(name, found) for name, found in beside.items()]
    for name in sorted(masks):
        candidates = (by_stem.of(stem) for stem in _mask_stems(name))
        best = next(filter(None, (_nearest(name, *of_stem, beside.keys()) for of_stem in candidates)), [])
        files.append(_label_file(name, best))
    return sorted(_without_shown(files), key=lambda file: file.labels)


class _Stems:
    """Pictures by what masks may be called after: their own stem, or that without 'img' and the like."""

    def __init__(self, pictures: Iterable[str]) -> None:
        self._own: dict[str, list[str]] = defaultdict(list)
        self._without_affix: dict[str, list[str]] = defaultdict(list)
        for name in pictures:
            stem = PurePosixPath(name).stem
            self._own[name_key(stem)].append(name)
            if found := PICTURE_AFFIX.match(stem):
                self._without_affix[name_key(found["a"] or found["b"])].append(name)

    def of(self, stem: str) -> tuple[Sequence[str], Sequence[str]]:
        """The pictures whose own stem this is, and those of which it is without 'img' and the like."""
        key = name_key(stem)
        return self._own.get(key, ()), self._without_affix.get(key, ())

    def beside(self, mask: str) -> list[str]:
        """The pictures in a mask's own folder that it is called after, with an ending of masks."""
        ended, parent = MASK_ENDING.match(PurePosixPath(mask).stem), PurePosixPath(mask).parent
        found = (
            [name for name in names if name != mask and PurePosixPath(name).parent == parent]
            for names in (self.of(ended[1]) if ended else ())
        )
        return next(filter(None, found), [])


def _label_file(mask: str, pictures: Sequence[str]) -> LabelFile:
    """A mask with its picture, where one alone is meant."""
    picture = pictures[0] if len(pictures) == 1 else ""
    subset = _subset(mask) or _subset(picture)
    return LabelFile(picture or _expected(mask), mask, picture, subset, tuple(pictures) if len(pictures) > 1 else ())


def _words(part: str) -> set[str]:
    """The words of a folder's name; 'trainannot' has two."""
    return set(re.sub(r"annot$", "_annot", part.lower()).replace("_", " ").replace("-", " ").split())


def _is_in_mask_folder(name: str) -> bool:
    """Whether the innermost folder whose name tells what is in it says masks."""
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if _words(part) & MASK_WORDS or part.lower() in MASK_FOLDERS:
            return True
        if _words(part) & PICTURE_WORDS:
            return False
    return False


def _mask_stems(name: str) -> Iterator[str]:
    """What the picture of a mask may be called, the likeliest first."""
    stem = PurePosixPath(name).stem
    yield stem
    yield from (found[1] for pattern in (MASK_ENDING, MASK_START) if (found := pattern.match(stem)))


def _nearest(mask: str, own: Sequence[str], others: Sequence[str], taken: Collection[str]) -> list[str]:
    """The pictures that share most of a mask's folders, of these the ones of its ``own`` name where there are some.

    Never one of another subset, or where both have folders that the other lacks.
    """
    subset, folders, named = _subset(mask), _folders(mask), _named(mask)
    fitting = [
        other
        for other in (*own, *others)
        if other not in taken
        and (not subset or _subset(other) in {"", subset})
        and (named <= _named(other) or named >= _named(other))
    ]
    fit = {other: (len(folders & _folders(other)), -len(_folders(other))) for other in fitting}
    best = [other for other in fitting if fit[other] == max(fit.values())]
    return [other for other in best if other in own] or best


def _folders(name: str) -> set[str]:
    """The words of a path's folders but those that say masks or pictures."""
    words = {word for part in PurePosixPath(name).parts[:-1] for word in _words(part)}
    return {subset_named(word) or word for word in words - MASK_WORDS - PICTURE_WORDS - MASK_FOLDERS}


def _named(name: str) -> set[str]:
    """The folders of a path that tell neither its subset nor that masks or pictures are in them."""
    parts = PurePosixPath(name).parts[:-1]
    return {
        name_key(part)
        for part in parts
        if not _words(part) & (MASK_WORDS | PICTURE_WORDS)
        and name_key(part) not in MASK_FOLDERS
        and not _subset(f"{part}/x")
    }


def _subset(name: str) -> str:
    """Which part of the dataset the words of a path's folders put a file in; the innermost counts."""
    words = (word for part in reversed(PurePosixPath(name).parts[:-1]) for word in sorted(_words(part)))
    return next((subset for word in words if (subset := subset_named(word))), "")


def _expected(mask: str) -> str:
    """What to call the picture of a mask that has none."""
    parts = PurePosixPath(mask).parts
    return "/".join([*(part for part in parts[:-1] if not _words(part) & MASK_WORDS), PurePosixPath(mask).stem])


def _without_shown(files: list[LabelFile]) -> list[LabelFile]:
    """Leave out masks for looking at, where their pictures have others."""
    pictures: dict[str, list[LabelFile]] = defaultdict(list)
    for file in files:
        pictures[file.picture or file.name].append(file)
    plain = {name: [file for file in of if not _is_shown(file.labels)] for name, of in pictures.items()}
    return [file for name, of in pictures.items() for file in (plain[name] or of)]


def _is_shown(name: str) -> bool:
    return any(_words(part) & SHOWN_WORDS and _words(part) & MASK_WORDS for part in PurePosixPath(name).parts[:-1])

"""The pictures of a pool and those that are labelled: what each is called, where, and which the dataset has already."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segtune.annotations.target_names import joined_name
from segtune.files import name_key, sha256
from segtune.prediction.inputs import Input


@dataclass(frozen=True)
class PoolPicture:
    """A picture to look at.

    Attributes:
        path: Its file.
        shown: What a person is told: its path in the pool, or its name in the dataset.
        file: What it will be called in the dataset; of one that is labelled, what it is called there.
        series: Its folders and name in the pool as one name, by which frames of a video find each other.
    """

    path: Path
    shown: str
    file: str
    series: str


def sort_pool(entries: Sequence[Input], labeled: Sequence[Path]) -> tuple[list[PoolPicture], list[PoolPicture]]:
    """The pictures of a pool that are not labelled, and the labelled ones.

    All of the pool are named, those too that the dataset has: names must not depend on how far the labelling is.
    """
    hashes = [_hash(entry.path) for entry in entries]
    labeled_hashes = [_hash(path) for path in labeled]
    names = [entry.picture_name for entry in entries]
    files = dataset_names(names, hashes, _taken(labeled, labeled_hashes))
    # A dataset that was made of the pool may have no folders in its names; without them videos would be mixed up.
    series = {value: joined_name(name) for name, value in zip(names, hashes, strict=True) if value}
    known = set(labeled_hashes) - {""}
    pool = [
        PoolPicture(entry.path, name, file, joined_name(name))
        for entry, name, file, value in zip(entries, names, files, hashes, strict=True)
        if value not in known
    ]
    return pool, [
        PoolPicture(path, path.name, path.name, series.get(value, path.name))
        for path, value in zip(labeled, labeled_hashes, strict=True)
    ]


def dataset_names(pictures: Sequence[str], hashes: Sequence[str], taken: Mapping[str, Set[str]]) -> list[str]:
    """What pictures of a pool will be called in the dataset; the same whichever of them are chosen, and when.

    Their own file names; where others have these, with their folders; where others have that, with a hash as well.

    Args:
        pictures: Paths in the pool, with forward slashes, each another.
        hashes: The SHA-256 of each.
        taken: For each name in the dataset, without suffix and as ``name_key``, the SHA-256 of what has it.
    """
    names = [PurePosixPath(picture).name for picture in pictures]
    joined = [joined_name(picture) for picture in pictures]
    hashed = [_with_hash(picture, value) for picture, value in zip(pictures, hashes, strict=True)]
    for others in (joined, hashed):
        keys = [_key(name) for name in names]
        times = Counter(keys)
        names = [
            other if times[key] > 1 or taken.get(key, {value}) != {value} else name
            for name, other, key, value in zip(names, others, keys, hashes, strict=True)
        ]
    return names


def _with_hash(picture: str, value: str) -> str:
    # Of the path as well: copies are other pictures, too.
    digest = hashlib.sha256(f"{value} {picture}".encode(errors="surrogateescape")).hexdigest()[:12]
    path = PurePosixPath(picture)
    return joined_name(str(path.with_name(f"{path.stem}_{digest}{path.suffix}")))


def _taken(paths: Iterable[Path], hashes: Iterable[str]) -> dict[str, set[str]]:
    taken: dict[str, set[str]] = defaultdict(set)
    for path, value in zip(paths, hashes, strict=True):
        taken[_key(path.name)].add(value)
    return taken


def _key(name: str) -> str:
    return name_key(PurePosixPath(name).stem)


def _hash(path: Path) -> str:
    """A file's SHA-256; of one that can't be read nothing, which is told when it is looked at."""
    with suppress(OSError):
        return sha256(path)
    return ""

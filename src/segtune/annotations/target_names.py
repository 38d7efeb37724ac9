"""What pictures of an export are called in the dataset folder."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from segtune.errors import DataError
from segtune.files import MAX_NAME_BYTES, name_key


def target_names(pictures: Sequence[str]) -> list[str]:
    """The pictures' own file names; with their folders, where these alone tell one of a folder's pictures from others.

    So pictures of a folder, which may be the frames of a video, are all called alike.

    Args:
        pictures: Paths in the export, with forward slashes.

    Raises:
        DataError: Two pictures differ in nothing but suffix or capitals; both are named.
    """
    paths = [PurePosixPath(picture) for picture in pictures]
    times = Counter(name_key(path.stem) for path in paths)
    folders = {path.parent for path in paths if times[name_key(path.stem)] > 1}
    names = [
        joined_name(picture) if path.parent in folders else path.name
        for path, picture in zip(paths, pictures, strict=True)
    ]
    of_name: dict[str, list[str]] = defaultdict(list)
    for picture, name in zip(pictures, names, strict=True):
        of_name[name_key(PurePosixPath(name).stem)].append(picture)
    problems = [" and ".join(same) for same in of_name.values() if len(same) > 1]
    if problems:
        raise DataError("Pictures have the same name but for suffix or capitals:", problems, "Rename one of each.")
    return names


def joined_name(picture: str) -> str:
    """A picture's path as one file name; its start becomes a hash where that is longer than file systems take."""
    path = PurePosixPath("_".join(PurePosixPath(picture).parts))
    stem, room = os.fsencode(path.stem), MAX_NAME_BYTES - max(len(os.fsencode(path.suffix)), len(".png"))
    if len(stem) <= room:
        return path.name
    digest = hashlib.sha256(stem).hexdigest()[:16]
    return f"{digest}_{stem[len(digest) + 1 - room :].decode(errors='ignore')}{path.suffix}"

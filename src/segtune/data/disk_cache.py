"""DiskSamples: pictures decoded once and kept in the cache folder, where the next training finds them, too."""

import hashlib
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import PIL
from zlib_ng import zlib_ng

from segtune.annotations.dataset_folder import Pair
from segtune.console import messages
from segtune.data.cache_folder import SUFFIX
from segtune.data.sample import CHANNELS, Sample
from segtune.data.samples import DecodedSamples
from segtune.data.shared_bytes import CAN_SHARE, reserve
from segtune.errors import UserError
from segtune.files import atomic_path, sha256

MAGIC = b"segtune1"
"""Name and version of the format; the version is part of each file's name, too."""
HEADER = struct.Struct("<8sIII")
"""Magic, height, width, CRC-32 of what follows: RGB, uint8 (H, W, 3), then labels, uint8 (H, W)."""

DECODERS = f"pillow {PIL.__version__}, opencv {cv2.__version__}"
"""Other versions may decode and shrink to slightly other values; a cache must not change results."""

Stamp = tuple[int, int, int, int]
"""Time of change and size of a picture and of its label image."""


class DiskSamples:
    """A file for each picture, named by the content that it comes from, and mapped: a crop reads only its rows."""

    def __init__(self, source: DecodedSamples, folder: Path, stays_free: int) -> None:
        """Write nothing yet.

        Args:
            source: Decodes.
            folder: Where the files are kept; made when the first is written.
            stays_free: Bytes on its disk that are left free.
        """
        self._source = source
        self._folder = folder
        self._stays_free = stays_free
        # One byte that all workers see: whether one of them found that no more can be written.
        self._given_up = reserve(1, CAN_SHARE)
        self._paths: dict[int, tuple[Stamp, Path]] = {}
        self._checked: set[Path] = set()

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        """A picture at its working size, read-only.

        Raises:
            UserError: It can't be decoded.
        """
        pair = self._source.pairs[index]
        try:
            stamp = _stamp(pair)
            path = self._path(index, pair, stamp)
        except OSError:
            return self._source[index]  # which says what is wrong with it
        sample = self._read(path, pair.stem)
        if sample is None:
            sample = self._source[index]
            if _stamp(pair) == stamp:
                self._write(path, sample)
        return sample

    def _path(self, index: int, pair: Pair, stamp: Stamp) -> Path:
        """The file of a picture; content is hashed only where the picture changed since the last time."""
        known, path = self._paths.get(index, (None, self._folder))
        if known != stamp:
            rule = (self._source.preprocessing.longest_side, self._source.table.ignore_value)
            content = (MAGIC, DECODERS, rule, sha256(pair.picture), sha256(pair.labels))
            path = self._folder / (hashlib.sha256(repr(content).encode()).hexdigest() + SUFFIX)
            self._paths[index] = stamp, path
        return path

    def _read(self, path: Path, name: str) -> Sample | None:
        """What a file holds; None where it is missing, too short or damaged. Each process checks the content once."""
        try:
            data = np.memmap(path, np.uint8, mode="r")
            magic, height, width, checksum = HEADER.unpack(data[: HEADER.size].tobytes())
        except (OSError, ValueError, struct.error):
            return None
        pixels = data[HEADER.size :]
        if magic != MAGIC or pixels.size != height * width * CHANNELS or not pixels.size:
            return None
        if path not in self._checked and zlib_ng.crc32(pixels) != checksum:
            return None
        self._checked.add(path)
        return Sample.from_bytes(pixels, height, width, name)

    def _write(self, path: Path, sample: Sample) -> None:
        """Keep a picture where there is room. Where there is none it is said once, by whoever finds out."""
        given_up = self._given_up.array
        if given_up[0]:
            return
        try:
            if free_space(self._folder) - sample.labels.size * CHANNELS < self._stays_free:
                raise UserError(f"The cache in {self._folder} would fill the disk.")
            _write_file(path, sample)
        except UserError as error:
            given_up[0] = 1
            messages.print(f"Warning: {error.message} Training goes on; further pictures are decoded each time.")


def _stamp(pair: Pair) -> Stamp:
    picture, labels = pair.picture.stat(), pair.labels.stat()
    return picture.st_mtime_ns, picture.st_size, labels.st_mtime_ns, labels.st_size


def _write_file(path: Path, sample: Sample) -> None:
    image, labels = (np.ascontiguousarray(values) for values in (sample.image, sample.labels))
    checksum = zlib_ng.crc32(labels, zlib_ng.crc32(image))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(HEADER.pack(MAGIC, *labels.shape, checksum))
        file.write(image.data)
        file.write(labels.data)


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk where a folder is, or will be; 0 where that can't be known."""
    for place in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return 0

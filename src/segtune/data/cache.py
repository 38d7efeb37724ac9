"""The cache of decoded pictures: where it is kept, and opening it."""

from collections.abc import Sequence
from dataclasses import dataclass

from segtune.annotations.dataset_folder import Pair
from segtune.classes import ClassTable
from segtune.config import Cache
from segtune.data.cache_folder import picture_folder
from segtune.data.disk_cache import DiskSamples, free_space
from segtune.data.ram_cache import RamSamples
from segtune.data.sample import CHANNELS
from segtune.data.samples import DecodedSamples, Samples
from segtune.data.shared_bytes import CAN_SHARE
from segtune.errors import UserError
from segtune.machine import free_memory
from segtune.pictures import open_picture, shown_size
from segtune.preprocessing import Preprocessing


@dataclass(frozen=True)
class CacheFacts:
    """What the choice of a cache depends on, in bytes.

    Attributes:
        total_bytes: All pictures and labels at their working size.
        free_memory: Memory that is free; 0: not known.
        free_shared_memory: Memory that processes can share; 0: none.
        free_disk: What is free on the disk of the cache folder.
    """

    total_bytes: int
    free_memory: int
    free_shared_memory: int
    free_disk: int


def choose_cache(facts: CacheFacts, num_workers: int) -> Cache:
    """What 'auto' means: memory if a quarter of it is enough, else disk if half of it is enough, else none.

    Args:
        facts: Sizes. Where several processes train, each has a memory cache of its own: divide the memory by them.
        num_workers: Processes that prepare batches.
    """
    memory = min(facts.free_memory, facts.free_shared_memory) if num_workers else facts.free_memory
    if facts.total_bytes <= memory // 4:
        return "ram"
    return "disk" if facts.total_bytes <= facts.free_disk // 2 else "none"


def measure_cache(pairs: Sequence[Pair], preprocessing: Preprocessing) -> CacheFacts:
    """Measure what pictures would take and what is free. Only the headers of the pictures are read.

    Raises:
        UserError: A file is no picture.
    """
    total = sum(height * width * CHANNELS for height, width in _working_sizes(pairs, preprocessing))
    memory = free_memory()
    return CacheFacts(total, memory, memory if CAN_SHARE else 0, free_space(picture_folder()))


def open_samples(
    pairs: Sequence[Pair], table: ClassTable, preprocessing: Preprocessing, cache: Cache, num_workers: int
) -> Samples:
    """The pictures of a split at their working size.

    Args:
        pairs: Pictures and label images.
        table: Says which label values are ignored.
        preprocessing: Gives the working size.
        cache: Where decoded pictures are kept.
        num_workers: Processes that will read them beside this one.

    Raises:
        UserError: A file is no picture, or the system has no memory that processes can share.
    """
    decoded = DecodedSamples(pairs, table, preprocessing)
    if cache == "disk":
        folder = picture_folder()
        return DiskSamples(decoded, folder, stays_free=free_space(folder) // 2)
    if cache == "ram":
        if num_workers and not CAN_SHARE:
            raise UserError(
                f"--cache ram with --num-workers {num_workers}: this system has no memory that processes can share.",
                "Use --cache disk, or --num-workers 0.",
            )
        return RamSamples(decoded, _working_sizes(pairs, preprocessing), shared=num_workers > 0)
    return decoded


def _working_sizes(pairs: Sequence[Pair], preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Height and width of each picture at its working size, from its header."""
    sizes = []
    for pair in pairs:
        try:
            with pair.picture.open("rb") as file:
                size = shown_size(open_picture(file, str(pair.picture)), str(pair.picture))
        except OSError as error:
            raise UserError(f"{pair.picture} can't be opened: {error}.", "Replace or remove it.") from error
        sizes.append(preprocessing.working_size(*size))
    return sizes

"""Samples: the pictures of a split at their working size, one at a time; here decoded anew at each reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from segtune.annotations.dataset_folder import Pair
from segtune.classes import ClassTable
from segtune.data.sample import Sample
from segtune.pictures import read_labels, read_picture
from segtune.preprocessing import Preprocessing


class Samples(Protocol):
    """Pictures with their labels by index. Arrays may be views of a cache: never write into them."""

    def __len__(self) -> int:
        """How many pictures."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """A picture at its working size."""
        ...


@dataclass(frozen=True)
class DecodedSamples:
    """Reads, decodes and shrinks a picture each time.

    Attributes:
        pairs: Pictures and label images.
        table: Says which label values are ignored.
        preprocessing: Gives the working size.
    """

    pairs: Sequence[Pair]
    table: ClassTable
    preprocessing: Preprocessing

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """A picture at its working size.

        Raises:
            UserError: It can't be decoded.
        """
        pair = self.pairs[index]
        return Sample(
            self.preprocessing.resized(read_picture(pair.picture)),
            self.preprocessing.resized_labels(read_labels(pair.labels, self.table)),
            pair.stem,
        )

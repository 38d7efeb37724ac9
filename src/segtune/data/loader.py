"""Dataset folder -> batches. Order and augmentation are functions of (seed, epoch, index), not of a worker's state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from segtune.annotations.dataset_folder import Pair
from segtune.classes import ClassTable
from segtune.data.augment import Augmentation
from segtune.data.batch import Batch, collate
from segtune.data.sample import Sample
from segtune.pictures import read_labels, read_picture
from segtune.preprocessing import Preprocessing

Place = tuple[int, int]
"""(epoch, index): all that the randomness of a sample depends on, beside the seed."""

ORDER, AUGMENTATION = 0, 1
"""Which use of randomness a generator is for: two uses with the same numbers must not see the same stream."""


@dataclass(frozen=True)
class AugmentedPictures(Dataset[Sample]):
    """Reads, shrinks to the working size and augments one picture at a time.

    Attributes:
        pairs: Pictures and label images.
        table: Says which label values are ignored.
        preprocessing: Gives the working size.
        augmentation: What is done to a sample.
        seed: Seed of the augmentation.
    """

    pairs: Sequence[Pair]
    table: ClassTable
    preprocessing: Preprocessing
    augmentation: Augmentation
    seed: int

    def __getitem__(self, place: Place) -> Sample:
        """The sample of picture ``index`` as it is seen in ``epoch``."""
        epoch, index = place
        pair = self.pairs[index]
        sample = Sample(
            self.preprocessing.shrink(read_picture(pair.picture)),
            self.preprocessing.shrink_labels(read_labels(pair.labels, self.table)),
            pair.stem,
        )
        return self.augmentation(sample, np.random.default_rng([self.seed, AUGMENTATION, epoch, index]))


class EpochOrder(Sampler[list[Place]]):
    """The batches of an epoch: every picture once, shuffled; the last batch may be short."""

    def __init__(self, num_pictures: int, batch_size: int, seed: int) -> None:
        self.num_pictures = num_pictures
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield the places of each batch of the epoch that ``self.epoch`` says."""
        order = np.random.default_rng([self.seed, ORDER, self.epoch]).permutation(self.num_pictures)
        for start in range(0, self.num_pictures, self.batch_size):
            yield [(self.epoch, int(index)) for index in order[start : start + self.batch_size]]

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.num_pictures // self.batch_size)


class Loader:
    """Iterates over the batches of one epoch after the other."""

    def __init__(self, pictures: AugmentedPictures, batch_size: int, num_workers: int) -> None:
        self._order = EpochOrder(len(pictures.pairs), batch_size, pictures.seed)
        self._loader = DataLoader(
            pictures,
            batch_sampler=cast(Sampler[list[int]], self._order),
            num_workers=num_workers,
            collate_fn=collate,
            persistent_workers=num_workers > 0,
        )

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._order)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of ``epoch``, counted from 1."""
        self._order.epoch = epoch
        return iter(self._loader)

"""Samples -> batches. Order and augmentation are functions of (seed, epoch, index), not of a worker's state."""

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from segtune.data.augment import Augmentation
from segtune.data.batch import Batch, collate, empty_batch
from segtune.data.mix import Mixing
from segtune.data.sample import Sample
from segtune.data.samples import Samples
from segtune.errors import UserError, first_line
from segtune.machine import usable_cpus

Place = tuple[int, int]
"""(epoch, index): all that the randomness of a sample depends on, beside the seed."""

ORDER, AUGMENTATION = 0, 1
"""Which use of randomness a generator is for: two uses with the same numbers must not see the same stream."""


class WorkerDied(UserError):
    """A process that prepares batches ended before its time."""


@dataclass(frozen=True)
class AugmentedPictures(Dataset[Sample]):
    """Augments one picture at a time.

    Attributes:
        samples: The pictures at their working size.
        augmentation: What is done to a sample.
        seed: Seed of the augmentation.
        mixing: What is put in from other pictures, which are augmented before.
    """

    samples: Samples
    augmentation: Augmentation
    seed: int
    mixing: tuple[Mixing, ...] = ()

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.samples)

    def __getitem__(self, place: Place) -> Sample:
        """The sample of picture ``index`` as it is seen in ``epoch``."""
        epoch, index = place
        generator = np.random.default_rng([self.seed, AUGMENTATION, epoch, index])
        sample = self.augmentation(self.samples[index], generator)
        for mix in self.mixing:
            if generator.random() < mix.probability:
                partner = self.samples[int(generator.integers(len(self.samples)))]
                sample = mix(sample, self.augmentation(partner, generator), generator)
        return sample


class EpochOrder(Sampler[list[Place]]):
    """The batches of an epoch: every picture once, shuffled.

    Of each batch a process gets every ``world_size``-th place: together they see what one alone would see.

    Args:
        num_pictures: How many there are.
        batch_size: Pictures a batch, at most.
        even: Whether batches are of one size, or of one less; else the last is as short as it comes.
        seed: Of the order.
        rank: Which of the processes that train together this is.
        world_size: How many these are.

    Attributes:
        bounds: The place in the order where each batch begins, and the end.
    """

    def __init__(
        self, num_pictures: int, batch_size: int, even: bool, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.num_pictures = num_pictures
        count = -(-num_pictures // batch_size)
        self.bounds = [
            -(-number * num_pictures // count) if even else min(number * batch_size, num_pictures)
            for number in range(count + 1)
        ]
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start_batch = 0

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield the places of each batch, from ``start_batch`` on, of the epoch that ``self.epoch`` says."""
        epoch = self.epoch
        order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(self.num_pictures)
        for start, end in pairwise(self.bounds[self.start_batch :]):
            yield [(epoch, int(index)) for index in order[start:end][self.rank :: self.world_size]]

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self.bounds) - 1


@dataclass(frozen=True)
class _Batches(Dataset[Batch | UserError]):
    """Whole batches by their places.

    Attributes:
        pictures: What they are made of.
        threads: Prepare the pictures of a batch; none where each process prepares batches of its own.
    """

    pictures: AugmentedPictures
    threads: ThreadPoolExecutor | None

    def __getitem__(self, places: list[Place]) -> Batch | UserError:
        """A batch; or the error, as DataLoader would hide its words in a traceback where a worker raises it."""
        try:
            if not places:
                return empty_batch(self.pictures[0, 0])  # any sample's size is that of all
            prepare = self.pictures.__getitem__
            return collate(list(map(prepare, places) if self.threads is None else self.threads.map(prepare, places)))
        except UserError as error:
            return UserError(error.message, error.hint)


class Loader:
    """Iterates over the batches of one epoch after the other."""

    def __init__(
        self,
        pictures: AugmentedPictures,
        batch_size: int,
        num_workers: int,
        *,
        even: bool = False,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        """Start no process yet.

        Args:
            pictures: What to load.
            batch_size: Pictures a batch, over all processes.
            num_workers: Processes that prepare batches; 0: this one does, with a thread for each processor.
            even: Whether batches are of about one size; else the last may be short.
            rank: Which of the processes that train together this is.
            world_size: How many these are. A short batch may leave a process an empty one.
            pin_memory: Whether batches lie in page-locked memory; for CUDA.
        """
        self._order = EpochOrder(len(pictures), batch_size, even, pictures.seed, rank, world_size)
        # Decoding a large picture takes as long as a step, and the network waits for it.
        threads = None if num_workers else ThreadPoolExecutor(usable_cpus(), "segtune-loader")
        self._loader = DataLoader(
            _Batches(pictures, threads),
            batch_size=None,
            sampler=self._order,
            num_workers=num_workers,
            worker_init_fn=_start_worker,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
        )

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._order)

    def num_pictures(self, batch: int) -> int:
        """Pictures of a batch of each epoch, counted from 0, over all processes."""
        return self._order.bounds[batch + 1] - self._order.bounds[batch]

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch``, counted from 1; without its first ``start_batch``, which are not read either.

        Raises:
            UserError: A picture can't be read.
            WorkerDied: A worker process ended.
        """
        self._order.epoch, self._order.start_batch = epoch, start_batch
        earlier = set(multiprocessing.active_children())
        with worker_deaths_told():
            batches = iter(self._loader)
        for worker in set(multiprocessing.active_children()) - earlier:
            # Where an error keeps this loader until the end, multiprocessing would send SIGTERM and wait for ever.
            atexit.register(worker.kill)
        return _raising_errors(batches)


def _raising_errors(batches: Iterator[Batch | UserError]) -> Iterator[Batch]:
    while True:
        with worker_deaths_told():
            batch = next(batches, None)
        if batch is None:
            return
        if isinstance(batch, UserError):
            raise batch
        yield batch


@contextmanager
def worker_deaths_told() -> Iterator[None]:
    """Turn DataLoader's RuntimeError about a dead worker into WorkerDied.

    Wrap the training steps, too: DataLoader hears of a worker's death by a signal, and raises wherever Python is then.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise WorkerDied(
            f"A process that prepares batches ended: {first_line(error)}",
            "Mostly memory was too little: lower --num-workers, or use --cache disk. In Docker, give --shm-size 2g."
            " In a script of your own, call segtune below a line: if __name__ == '__main__':",
        ) from error


def _start_worker(worker: int) -> None:
    """What a worker process does first."""
    del worker
    # Ctrl-C and a scheduler's SIGTERM reach all processes of a training. The main one decides what comes of it: it ends
    # the step that is going on, and needs its workers for that. They end with the loader, or with the main process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Workers are there to use the cores; OpenCV's own threads would only compete, and don't survive a fork.
    cv2.setNumThreads(0)
    # DataLoader's own watch looks at the fork server, which lives on where the training is killed.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

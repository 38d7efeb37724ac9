"""Painting and writing label images: the slow part of a conversion, on all processors."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segtune.allocator import keep_freed_memory
from segtune.annotations.annotated_image import Polygon, Shape
from segtune.annotations.class_choice import ClassChoice
from segtune.annotations.mask_picture import mask_runs
from segtune.annotations.painter import paint, rasterize
from segtune.config import Fill
from segtune.errors import UserError
from segtune.machine import usable_cpus
from segtune.pictures import labels_png

MIN_FOR_PROCESSES = 100
"""With fewer pictures, starting processes takes longer than they save."""

BATCH = 8
"""Jobs that are sent to a process together: each sending costs as much as an object's painting."""

BATCHES_AHEAD = 2
"""Batches that wait for each process: more would only take memory."""


@dataclass(frozen=True, eq=False)
class LabelJob:
    """A label image to write.

    Attributes:
        shapes: What is painted.
        annotated_size: Height and width that the shapes' coordinates are for.
        size: Height and width of the label image.
        path: Where it goes.
    """

    shapes: Sequence[Shape]
    annotated_size: tuple[int, int]
    size: tuple[int, int]
    path: Path


@dataclass(frozen=True, eq=False)
class LabelResult:
    """What became of a job.

    Attributes:
        shapes: For each shape its label, the pixels that it covers, and those of them that can be seen.
        pixels: int64 (256,), how many pixels have each value.
        uncovered: How many pixels lie outside all shapes.
    """

    shapes: Sequence[tuple[str | None, int, int]]
    pixels: npt.NDArray[np.int64]
    uncovered: int


def write_label_images(jobs: Iterable[LabelJob], choice: ClassChoice, fill: Fill, total: int) -> Iterator[LabelResult]:
    """Do all jobs; results come in their order. At no time are more than a few jobs in memory.

    Raises:
        UserError: A picture can't be painted or written, or a process that paints has died.
    """
    num_processes = min(usable_cpus(), 16)
    if total < MIN_FOR_PROCESSES or num_processes == 1:
        for job in jobs:
            yield write_label_image(job, choice, fill)
        return
    # Spawned, not forked: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[list[LabelResult]]] = deque()
    remaining = iter(jobs)
    with ProcessPoolExecutor(num_processes, context, initializer=keep_freed_memory) as pool:
        try:
            while batch := list(islice(remaining, BATCH)):
                waiting.append(pool.submit(_write_batch, batch, choice, fill))
                if len(waiting) > num_processes * BATCHES_AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except (BrokenProcessPool, MemoryError) as error:
            raise UserError(
                f"One of {num_processes} processes that paint label images has died. Most likely memory is out.",
                "Free some; or let fewer paint, one a processor: taskset --cpu-list 0 segtune convert …; in a script of"
                " your own, call segtune below a line: if __name__ == '__main__':",
            ) from error


def _write_batch(jobs: Sequence[LabelJob], choice: ClassChoice, fill: Fill) -> list[LabelResult]:
    return [write_label_image(job, choice, fill) for job in jobs]


def write_label_image(job: LabelJob, choice: ClassChoice, fill: Fill) -> LabelResult:
    """Paint and write one label image.

    Raises:
        UserError: A shape can't be painted.
    """
    shapes = job.shapes
    if job.annotated_size != job.size:
        shapes = [_scaled(shape, job.annotated_size, job.size) for shape in shapes]
    try:
        painted = paint(shapes, job.size, choice.ids, choice.outside, choice.ranks, fill)
    except UserError as error:
        raise UserError(f"{job.path.stem}: {error.message}", error.hint) from error
    job.path.write_bytes(labels_png(painted.labels, choice.table))
    facts = zip(shapes, painted.areas.tolist(), painted.visible.tolist(), strict=True)
    uncovered = painted.labels.size - int(painted.visible.sum())
    pixels = np.zeros(256, np.int64)
    pixels[choice.outside] = uncovered
    for shape, visible in zip(shapes, painted.visible, strict=True):
        pixels[choice.ids[shape.label]] += visible
    return LabelResult([(shape.label, area, visible) for shape, area, visible in facts], pixels, uncovered)


def _scaled(shape: Shape, annotated: tuple[int, int], size: tuple[int, int]) -> Shape:
    """A shape for a picture of another size."""
    geometry = shape.geometry
    if isinstance(geometry, Polygon):
        factors = np.array([size[1] / annotated[1], size[0] / annotated[0]])
        outlines, holes = (tuple(points * factors for points in rings) for rings in (geometry.outlines, geometry.holes))
        return Shape(shape.label, Polygon(outlines, holes), shape.kind, shape.z_order)
    (mask,) = rasterize([geometry], annotated)
    whole = np.zeros(annotated, np.uint8)
    whole[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
    scaled = cv2.resize(whole, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return Shape(shape.label, mask_runs(scaled.astype(np.bool_)), shape.kind, shape.z_order)

"""Which pictures are for training and which for validation."""

import hashlib
from collections.abc import Sequence

from segtune.annotations.annotated_image import AnnotatedImage
from segtune.errors import UserError


def assign_splits(images: Sequence[AnnotatedImage], val_fraction: float) -> list[str]:
    """The split of each picture: the export's own where it has train and val, else by a hash of the name.

    A test part of the export stays out of both: its pictures get the split 'test'.

    Raises:
        UserError: The fraction is impossible, or there are too few pictures.
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"--val-fraction is {val_fraction}; a number between 0 and 1 was expected.", "Try 0.2.")
    splits = [image.subset or "train" for image in images]
    if {"train", "val"} <= set(splits):
        return splits
    free = [index for index, split in enumerate(splits) if split != "test"]
    if len(free) < 2:
        raise UserError(
            f"The export holds {len(free)} annotated picture{'s' * (len(free) != 1)}; at least 2 are needed, one to"
            " train on and one to validate with.",
            "Annotate more.",
        )
    # A hash of the name doesn't depend on the order of the export.
    free.sort(key=lambda index: hashlib.sha256(images[index].name.encode()).digest())
    num_val = min(len(free) - 1, max(1, round(len(free) * val_fraction)))
    for place, index in enumerate(free):
        splits[index] = "val" if place < num_val else "train"
    return splits

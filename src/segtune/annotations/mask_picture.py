"""A mask of one object that is stored as a picture -> its pixels, and these as runs."""

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Runs
from segtune.annotations.image_builder import BadAnnotation, runs
from segtune.pictures import DECODE_ERRORS, open_picture


def picture_mask(
    content: bytes, size: tuple[int, int] | None = None, called: str = "its mask"
) -> npt.NDArray[np.bool_]:
    """A mask that is stored as a picture: what is not transparent; where nothing is, what is not black.

    Args:
        content: The picture file.
        size: The height and width that it must have; checked before it is decoded.
        called: What it is, for errors.

    Returns:
        bool (H, W).

    Raises:
        BadAnnotation: It is another size, or can't be decoded.
        UserError: It is no picture.
    """
    picture = open_picture(content, called)
    if size is not None and (picture.height, picture.width) != size:
        raise BadAnnotation(f"{called} has {picture.width} x {picture.height} pixels, expected {size[1]} x {size[0]}")
    try:
        if picture.mode == "P" or "transparency" in picture.info:
            picture = picture.convert("RGBA")
        pixels = np.asarray(picture)
    except DECODE_ERRORS as error:
        raise BadAnnotation(f"{called} can't be decoded ({error})") from error
    if pixels.ndim == 2:
        return np.asarray(pixels != 0)
    if picture.mode in {"RGBA", "LA"}:
        if (pixels[:, :, -1] != 255).any():
            return np.asarray(pixels[:, :, -1] != 0)
        pixels = pixels[:, :, :-1]
    return np.asarray((pixels != 0).any(axis=2))


def mask_runs(pixels: npt.NDArray[np.bool_], top: int = 0, left: int = 0) -> Runs:
    """Covered pixels, bool (H, W), as runs, so that many large masks of a picture don't fill the memory."""
    flat = pixels.ravel()
    starts = [0, 0] if flat.size and flat[0] else [0]
    ends = np.concatenate([starts, np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    return runs(np.diff(ends), pixels.shape[0], pixels.shape[1], top, left)

"""Fractal noise: the irregularity of clouds, forests, rivers and fields."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def fractal_noise(generator: np.random.Generator, size: int, cells: int, octaves: int, gain: float = 0.5) -> Floats:
    """Smooth random values with detail at several scales.

    Args:
        generator: Source of the values.
        size: Height and width of the result, a power of two.
        cells: Number of bumps along a side at the coarsest scale, a power of two.
        octaves: Number of scales, each twice as fine as the one before.
        gain: Strength of a scale relative to the one before.

    Returns:
        float32 (size, size), mean 0, standard deviation 1; its opposite edges fit together.
    """
    noise = generator.standard_normal((cells, cells), np.float32)
    octave = 1
    # Growing step by step costs a fraction of enlarging every scale at once.
    while (side := noise.shape[0] * 2) <= size:
        around = np.pad(noise, 2, mode="wrap")
        noise = np.asarray(cv2.resize(around, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.float32)[4:-4, 4:-4]
        if octave < octaves:
            noise += generator.standard_normal((side, side), np.float32) * np.float32(gain**octave)
        octave += 1
    mean, deviation = cv2.meanStdDev(noise)
    return np.asarray((noise - np.float32(mean[0, 0])) / np.float32(deviation[0, 0]))


def sample(texture: npt.NDArray[Any], x: Floats, y: Floats) -> npt.NDArray[Any]:
    """Values of a texture at (H, W) coordinates in texels; it is repeated beyond its edges.

    Args:
        texture: (S, S) or (S, S, C), uint8 or float32.
        x: Columns, float32 (H, W).
        y: Rows, float32 (H, W).

    Returns:
        (H, W) or (H, W, C) of the texture's dtype, interpolated.
    """
    period = np.float32(texture.shape[0])
    # OpenCV's coordinates are 16-bit inside.
    x, y = (along - np.floor(along / period) * period for along in (x, y))
    return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def step(values: Floats, low: float, high: float) -> Floats:
    """0 up to ``low``, 1 from ``high`` on, smooth between."""
    part = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)

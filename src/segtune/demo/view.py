"""View: where the camera is turned. Light: what lights the scene. World axes are east, north, up."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Light:
    """Sun, sky and haze. Colours are float RGB, 1 is a white surface in full sun.

    Attributes:
        sun: Unit vector (3,) towards the sun.
        sunshine: Colour (3,) of direct light; dark under a closed cloud cover.
        zenith: Colour (3,) of the sky overhead, which also lights upward surfaces.
        horizon: Colour (3,) of the sky at the horizon and of haze.
        bounce: Colour (3,) of the light from below.
        visibility: Distance at which haze has taken two thirds of the contrast, in camera altitudes.
        cloudiness: 0 clear .. 1 closed cloud cover.
    """

    sun: Vector
    sunshine: Vector
    zenith: Vector
    horizon: Vector
    bounce: Vector
    visibility: float
    cloudiness: float

    def shade(self, normals: Vector, colors: Vector, shine: Vector, to_eye: Vector) -> Vector:
        """Colours of surfaces in this light.

        Args:
            normals: Unit vectors (F, 3).
            colors: RGB in 0..1, (F, 3).
            shine: Strength of the highlight, 0 matt .. 1, (F,).
            to_eye: Unit vector (3,) from the surfaces towards the camera.

        Returns:
            float64 (F, 3), not clipped.
        """
        direct = np.maximum(normals @ self.sun, 0)[:, None]
        upward = (normals[:, 2:] + 1) / 2
        # The whole sky, not only the zenith, lights from above.
        above = 0.35 * self.zenith + 0.50 * self.horizon
        half = self.sun + to_eye
        highlight = np.maximum(normals @ (half / np.linalg.norm(half)), 0) ** 24 * shine
        rim = (1 - np.abs(normals @ to_eye)) ** 3 * shine
        lit = colors * (direct * self.sunshine + upward * above + (1 - upward) * self.bounce)
        return np.asarray(lit + highlight[:, None] * self.sunshine * 0.8 + rim[:, None] * self.horizon * 0.25)


@dataclass(frozen=True)
class View:
    """A wide-angle camera whose picture grows evenly with the angle, so a horizon off the middle is curved.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        focal: Pixels a radian.
        axes: float64 (3, 3): unit vectors of the world that point right, down and forward in the picture.
    """

    height: int
    width: int
    focal: float
    axes: Vector

    @classmethod
    def turned(cls, height: int, width: int, field: float, pitch: float, roll: float) -> "View":
        """A view to the north.

        Args:
            height: Of the picture, in pixels.
            width: Of the picture, in pixels.
            field: Angle that the picture's longer side covers, in radians.
            pitch: Angle above the horizon, in radians.
            roll: Tilt of the horizon, in radians.
        """
        forward = np.array([0, np.cos(pitch), np.sin(pitch)])
        level = np.array([[1, 0, 0], [0, np.sin(pitch), -np.cos(pitch)]])
        tilt = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        return cls(height, width, max(height, width) / field, np.vstack([tilt @ level, forward]))

    def rays(self, x: Vector, y: Vector) -> Vector:
        """Unit vectors (..., 3) of the world seen at continuous pixel coordinates ``x``, ``y`` (...)."""
        right, down = (x - self.width / 2) / self.focal, (y - self.height / 2) / self.focal
        angle = np.hypot(right, down)
        spread = np.sinc(angle / np.pi)
        return np.asarray(np.stack([right * spread, down * spread, np.cos(angle)], axis=-1) @ self.axes)

    def all_rays(self) -> Floats:
        """Unit vectors seen at all pixel centres, float32 (H, W, 3)."""
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return self.rays(x, y).astype(np.float32)

    def axes_at(self, x: float, y: float) -> Vector:
        """Right, down and forward (3, 3), as ``axes``, for a camera turned to the point ``x``, ``y``."""
        forward, beside = self.rays(np.array([x, x + 1]), np.array([y, y]))
        right = beside - forward * (beside @ forward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

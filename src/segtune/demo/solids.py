"""Solids: bodies made of small quadrilaterals, shaded and drawn through a View."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.demo.view import Floats, Light, Vector, View

SUPERSAMPLING = 3
"""Solids are drawn this many times larger and then averaged, for smooth edges."""
SUBPIXEL_BITS = 3
WHITE = 180
"""The 8-bit value of a white surface in full sun; highlights are above it."""


@dataclass(frozen=True)
class Solid:
    """Closed surfaces in metres.

    Attributes:
        faces: Corners, float64 (F, 4, 3).
        flat: Outward unit vectors of the faces, float64 (F, 3): they say which faces are seen.
        smooth: Outward unit vectors at the corners, float64 (F, 4, 3): they say how the light falls.
        colors: RGB in 0..1, float64 (F, 3).
        shine: 0 matt .. 1 polished, float64 (F,).
    """

    faces: Vector
    flat: Vector
    smooth: Vector
    colors: Vector
    shine: Vector


@dataclass(frozen=True)
class Sprite:
    """A solid as seen: RGB times opacity, float32 (h, w, 3); opacity, float32 (h, w); and its corner in the picture."""

    color: Floats
    opacity: Floats
    top: int
    left: int


def joined(solids: Sequence[Solid]) -> Solid:
    """Several solids as one."""
    return Solid(
        np.concatenate([solid.faces for solid in solids]),
        np.concatenate([solid.flat for solid in solids]),
        np.concatenate([solid.smooth for solid in solids]),
        np.concatenate([solid.colors for solid in solids]),
        np.concatenate([solid.shine for solid in solids]),
    )


def loft(rings: Vector, color: Vector | Sequence[float], shine: float = 0.0) -> Solid:
    """The surface through rings of points, one after the other.

    Args:
        rings: float64 (S, P, 3). A ring of equal points closes an end.
        color: RGB in 0..1: (3,) for all, or (S - 1, P, 3) for each face.
        shine: 0 matt .. 1 polished.
    """
    beside = _next(rings)
    faces = np.stack([rings[:-1], beside[:-1], beside[1:], rings[1:]], axis=2)
    normals = _units(_cross(faces[:, :, 2] - faces[:, :, 0], faces[:, :, 3] - faces[:, :, 1]))
    middle = rings.mean(axis=1)
    axis = (middle[:-1] + middle[1:])[:, None] / 2
    # All faces run around the same way, so they are turned outward together; the ends' own faces could not tell.
    if ((faces[:, :, 0] + faces[:, :, 2] - 2 * axis) * normals).sum() < 0:
        normals = -normals
    colors = np.broadcast_to(np.asarray(color, np.float64), normals.shape)
    count = normals.shape[0] * normals.shape[1]
    around = normals + np.concatenate([normals[:, -1:], normals[:, :-1]], axis=1)
    corner = np.concatenate([around[:1], around[:-1] + around[1:], around[-1:]])
    beside = _next(corner)
    smooth = _units(np.stack([corner[:-1], beside[:-1], beside[1:], corner[1:]], axis=2))
    return Solid(
        faces.reshape(count, 4, 3),
        normals.reshape(count, 3),
        smooth.reshape(count, 4, 3),
        colors.reshape(count, 3),
        np.full(count, shine),
    )


def _next(rings: Vector) -> Vector:
    """Each point's neighbour in its ring."""
    return np.concatenate([rings[:, 1:], rings[:, :1]], axis=1)


def _cross(first: Vector, second: Vector) -> Vector:
    """Vector products (..., 3); numpy's own takes many times longer for the few vectors of a solid."""
    x, y, z = first[..., 0], first[..., 1], first[..., 2]
    u, v, w = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def _units(vectors: Vector) -> Vector:
    """Vectors (..., 3) at length 1; those of no length stay so."""
    return np.asarray(vectors / np.maximum(np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)), 1e-12))


def tube(
    path: Vector,
    wide: Vector,
    deep: Vector,
    color: Vector | Sequence[float],
    *,
    side: Sequence[float],
    points: int = 10,
    roundness: float = 2.0,
    shine: float = 0.0,
) -> Solid:
    """A solid with an elliptic section along a path; its ends are closed.

    Args:
        path: Middle of each section, float64 (S, 3).
        wide: Half of each section's extent along ``side``, (S,).
        deep: Half of its extent across, (S,).
        color: RGB in 0..1: (3,) for all, or (S + 1, points, 3) for each face, ends included.
        side: Direction (3,), not along the path.
        points: Number of points around a section.
        roundness: 2 is an ellipse, more goes towards a rectangle.
        shine: 0 matt .. 1 polished.
    """
    tangent = np.gradient(path, axis=0)
    across = _cross(tangent, np.asarray(side, np.float64))
    across = _units(across)
    along = _units(_cross(across, tangent))
    angle = np.arange(points) * 2 * np.pi / points
    cosine, sine = (np.sign(part) * np.abs(part) ** (2 / roundness) for part in (np.cos(angle), np.sin(angle)))
    rings = (
        path[:, None]
        + along[:, None] * (np.asarray(wide)[:, None] * cosine)[:, :, None]
        + across[:, None] * (np.asarray(deep)[:, None] * sine)[:, :, None]
    )
    ends = [np.broadcast_to(path[end], (1, points, 3)) for end in (0, -1)]
    return loft(np.concatenate([ends[0], rings, ends[1]]), color, shine)


def draw_solid(
    solid: Solid, turn: Vector, place: tuple[float, float, float], view: View, light: Light
) -> Sprite | None:
    """Draw a solid, shaded.

    Args:
        solid: What to draw.
        turn: Rotation (3, 3) from the solid's axes to the world's: world = turn @ own.
        place: Where its origin is: x and y in the picture in pixels, distance in metres.
        view: The camera.
        light: Sun and sky.

    Returns:
        The part inside the picture; None where there is none.
    """
    x, y, distance = place
    axes = view.axes_at(x, y)
    solid = _facing(solid, axes @ turn, distance)
    if not len(solid.faces):
        return None
    # Near ones are divided until a piece is about two pixels long.
    sides = np.linalg.norm(solid.faces[:, 2] - solid.faces[:, 0], axis=1)
    pieces = int(np.clip(np.percentile(sides, 80) * view.focal / distance / 3, 1, 4))
    faces, normals = _divided(solid.faces, pieces), _units(_divided(solid.smooth, pieces).mean(axis=1))
    colors, shine = solid.colors.repeat(pieces**2, axis=0), solid.shine.repeat(pieces**2)
    shaded = light.shade(normals @ turn.T, colors, shine, -axes[2])

    points = faces @ (axes @ turn).T + np.array([0, 0, distance])
    order = np.argsort(-np.linalg.norm(points.mean(axis=1), axis=1), kind="stable")
    flat = points[:, :, :2] * (view.focal / points[:, :, 2:]) + np.array([x, y])
    low = np.maximum(np.floor(flat.min(axis=(0, 1))).astype(int) - 2, 0)
    high = np.minimum(np.ceil(flat.max(axis=(0, 1))).astype(int) + 2, (view.width, view.height))
    wide, tall = (high - low).tolist()
    if wide <= 0 or tall <= 0:
        return None
    # OpenCV counts from pixel centres: its 0 is our 0.5.
    corners = np.round(((flat - low) * SUPERSAMPLING - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    canvas = np.zeros((tall * SUPERSAMPLING, wide * SUPERSAMPLING, 4), np.uint8)
    opaque = np.concatenate([np.clip(shaded * WHITE, 0, 255), np.full((len(shaded), 1), 255)], axis=1)
    for polygon, color in zip(corners[order], opaque[order].tolist(), strict=True):
        cv2.fillConvexPoly(canvas, polygon, color, cv2.LINE_8, SUBPIXEL_BITS)
    small = np.asarray(cv2.resize(canvas, (wide, tall), interpolation=cv2.INTER_AREA), np.float32)
    color, opacity = small[:, :, :3] / np.float32(WHITE), small[:, :, 3] / np.float32(255)
    return Sprite(color, opacity, int(low[1]), int(low[0]))


def _facing(solid: Solid, turn: Vector, distance: float) -> Solid:
    """The faces before the camera and turned to it; ``turn`` leads from the solid's axes to right, down, forward."""
    points = solid.faces @ turn.T + np.array([0, 0, distance])
    seen = np.einsum("fi,fi->f", solid.flat @ turn.T, points.mean(axis=1)) < 0
    # What the camera nearly touches would be drawn endlessly large.
    seen &= points[:, :, 2].min(axis=1) > 0.2
    return Solid(solid.faces[seen], solid.flat[seen], solid.smooth[seen], solid.colors[seen], solid.shine[seen])


def _divided(corners: Vector, pieces: int) -> Vector:
    """Values (F, 4, 3) at corners -> values (F * pieces * pieces, 4, 3) at the corners of each face's pieces."""
    at = np.linspace(0, 1, pieces + 1)
    first, second = np.meshgrid(at, at, indexing="ij")
    weights = np.stack([(1 - first) * (1 - second), first * (1 - second), first * second, (1 - first) * second])
    grid = np.einsum("kij,fkc->fijc", weights, corners)
    pieced = np.stack([grid[:, :-1, :-1], grid[:, 1:, :-1], grid[:, 1:, 1:], grid[:, :-1, 1:]], axis=3)
    return np.asarray(pieced.reshape(-1, 4, 3))


def rotation(axis: int, angle: float) -> Vector:
    """Matrix (3, 3) that turns by ``angle`` radians about the axis x = 0, y = 1 or z = 2."""
    matrix: npt.NDArray[np.float64] = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first] = np.sin(angle)
    matrix[first, second] = -np.sin(angle)
    return matrix

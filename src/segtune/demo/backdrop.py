"""The backdrop: sky and ground as seen through a View."""

import cv2
import numpy as np

from segtune.demo.noise import Floats, fractal_noise, sample, step
from segtune.demo.terrain import MAP_SIZE, terrain_map
from segtune.demo.view import Light, View

CLOUD_SIZE = 512
"""Height and width of the cloud textures in texels."""


def draw_backdrop(generator: np.random.Generator, view: View, light: Light) -> tuple[Floats, Floats]:
    """Draw sky and ground.

    Returns:
        The picture, float32 (H, W, 3) RGB, 1 is white; and the share of each pixel that is ground, float32 (H, W).
    """
    rays = view.all_rays()
    ground_share = np.clip(0.5 - rays[:, :, 2] * np.float32(view.focal), 0, 1)
    image = np.zeros_like(rays)
    if ground_share.min() < 1:
        image += _sky(generator, rays, light) * (1 - ground_share)[:, :, None]
    if ground_share.max() > 0:
        image += _ground(generator, view, rays, light) * ground_share[:, :, None]
    return image, ground_share


def _mix(first: Floats, second: Floats, part: Floats) -> Floats:
    """``first`` where ``part`` (H, W) is 0, ``second`` where it is 1."""
    return first + (second - first) * part[:, :, None]


def _haze(rays: Floats, light: Light) -> Floats:
    """Colour of haze in each direction: brighter and warmer towards the sun, float32 (H, W, 3)."""
    towards = np.clip(rays @ light.sun.astype(np.float32), 0, 1)
    horizon, sunshine = light.horizon.astype(np.float32), light.sunshine.astype(np.float32)
    return horizon + (towards**3 * np.float32(0.16))[:, :, None] * sunshine


def _sky(generator: np.random.Generator, rays: Floats, light: Light) -> Floats:
    """Gradient, glow of the sun, high clouds and a bank of clouds over the horizon."""
    up = np.maximum(rays[:, :, 2], 0)
    haze = _haze(rays, light)
    sky = _mix(haze, np.broadcast_to(light.zenith.astype(np.float32), rays.shape), 1 - np.exp(-up * np.float32(3.2)))
    towards = np.clip(rays @ light.sun.astype(np.float32), 0, 1)
    glow = 0.30 * towards**24 + 0.9 * towards**900
    sky = sky + (glow * np.float32(1 - 0.8 * light.cloudiness))[:, :, None] * light.sunshine.astype(np.float32)

    texture = fractal_noise(generator, CLOUD_SIZE, 4, 7, 0.56)
    turn, stretch = generator.uniform(0, np.pi), generator.uniform(1.0, 3.5)
    # A flat layer of clouds draws together towards the horizon.
    flat = rays[:, :, :2] / (up + np.float32(0.10))[:, :, None]
    x, y = _on_map(generator, flat, turn, generator.uniform(60, 130))
    y *= np.float32(stretch)
    thickness = sample(texture, x, y)
    # The thickness towards the sun decides how much light a cloud gets.
    shadow = sample(texture, x + 5, y + 5)
    low = 1.3 - 3.0 * light.cloudiness
    cover = step(thickness, low, low + generator.uniform(1.2, 2.4)) * np.float32(generator.uniform(0.65, 0.98))
    bright = (1.02 + 0.10 * (thickness - shadow) - 0.10 * np.maximum(thickness + light.cloudiness - 0.6, 0))[:, :, None]
    white = (0.62 * light.horizon + 0.40 * light.sunshine.clip(0.3) + 0.02).astype(np.float32)
    sky = _mix(sky, bright * white, cover * step(up, 0.0, 0.10))
    if generator.random() < 0.55:
        sky = _cloud_bank(generator, rays, sky, white)
    return _mix(sky, haze, np.exp(-up * np.float32(22)) * np.float32(0.85))


def _cloud_bank(generator: np.random.Generator, rays: Floats, sky: Floats, white: Floats) -> Floats:
    """Heaped clouds low over the horizon, lit from above."""
    texture = fractal_noise(generator, CLOUD_SIZE, 4, 7, 0.52)
    x = np.arctan2(rays[:, :, 0], rays[:, :, 1]) * np.float32(110) + np.float32(generator.uniform(200, 600))
    y = rays[:, :, 2] * np.float32(-230) + np.float32(generator.uniform(0, 300))
    top = np.float32(generator.uniform(0.06, 0.30))
    fall = np.maximum(rays[:, :, 2] / top, 0) * np.float32(1.7)
    thickness = sample(texture, x, y) - fall
    lit = thickness - (sample(texture, x + 4, y - 7) - fall)
    cover = step(thickness, 0.0, 0.5) * np.float32(generator.uniform(0.7, 1.0))
    bright = np.clip(1.0 + 0.16 * lit, 0.68, 1.2)[:, :, None]
    return _mix(sky, bright * white, cover)


def _ground(generator: np.random.Generator, view: View, rays: Floats, light: Light) -> Floats:
    """The terrain in perspective, with low clouds and their shadows, fading into haze."""
    down = np.maximum(-rays[:, :, 2], np.float32(0.004))
    distance = np.asarray(1 / down, np.float32)
    # Texels for one camera altitude: the higher, the smaller the fields.
    texels = float(generator.uniform(170, 330))
    flat = rays[:, :, :2] * distance[:, :, None]
    x, y = _on_map(generator, flat, generator.uniform(0, 2 * np.pi), texels)

    # Far land is read from smaller copies of the map, or it would flicker from pixel to pixel.
    level = np.log2(np.maximum(distance / np.sqrt(down) * np.float32(texels / view.focal), 1))
    land = np.zeros_like(rays)
    copy = terrain_map(generator)
    for index in range(6):
        weight = np.clip(1 - np.abs(level - index), 0, 1) if index < 5 else np.clip(level - 4, 0, 1)
        if weight.any():
            factor = np.float32(2**index)
            land += sample(copy, x / factor, y / factor).astype(np.float32) * (weight / 255)[:, :, None]
        copy = np.asarray(cv2.pyrDown(copy), np.uint8)
    # Lit from the sun's height, and by the sky.
    lit = light.sunshine * (0.30 + 0.70 * light.sun[2]) + 0.30 * light.horizon + 0.10 * light.zenith
    land *= lit.astype(np.float32) * np.float32(0.95)

    if generator.random() < 0.45:
        land = _low_clouds(generator, land, light, flat, level)
    clear = np.exp(-distance / np.float32(light.visibility))
    # Land lost in haze stays a little darker than the sky, so that most horizons can be seen.
    return _mix(_haze(rays, light) * np.float32(generator.uniform(0.76, 0.97)), land, clear)


def _on_map(generator: np.random.Generator, flat: Floats, turn: float, scale: float) -> tuple[Floats, Floats]:
    """Columns and rows, float32 (H, W), on a map that lies turned by an angle, at a random place.

    Args:
        generator: Source of the place.
        flat: East and north in units of the height over or under the camera, float32 (H, W, 2).
        turn: The angle, in radians.
        scale: Texels a unit.
    """
    cosine, sine = np.float32(scale * np.cos(turn)), np.float32(scale * np.sin(turn))
    start = generator.uniform(0, MAP_SIZE, 2).astype(np.float32)
    x = flat[:, :, 0] * cosine + flat[:, :, 1] * sine + start[0]
    y = flat[:, :, 1] * cosine - flat[:, :, 0] * sine + start[1]
    return x, y


def _low_clouds(generator: np.random.Generator, land: Floats, light: Light, flat: Floats, level: Floats) -> Floats:
    """Small clouds between camera and land, and their shadows on it."""
    texture = fractal_noise(generator, CLOUD_SIZE, 8, 7, 0.58)
    scale = np.float32(generator.uniform(70, 170))
    low = float(generator.uniform(0.5, 1.6))
    height = np.float32(generator.uniform(0.25, 0.6))
    moved = (light.sun[:2] / max(light.sun[2], 0.3)).astype(np.float32) * height
    # Towards the horizon the texture's fine detail is less than a pixel.
    faint = 1 - np.float32(0.06) * np.clip(level, 0, 5)

    def thickness(place: Floats) -> Floats:
        """Of the clouds over places on the ground, east and north (H, W, 2) in camera altitudes."""
        texels = place * scale
        density: Floats = sample(texture, texels[:, :, 0], texels[:, :, 1])
        return density * faint

    shadow = step(thickness(flat + moved), low, low + 0.9)
    land = land * (1 - np.float32(0.42) * shadow)[:, :, None]
    clouds = flat * (1 - height)
    here = thickness(clouds)
    lit = here - thickness(clouds + moved * np.float32(0.12))
    white = (0.55 * light.horizon + 0.5 * light.sunshine).astype(np.float32)
    bright = np.clip(1.0 + 0.14 * lit, 0.7, 1.2)[:, :, None]
    return _mix(land, bright * white, step(here, low, low + 0.8) * np.float32(0.95))

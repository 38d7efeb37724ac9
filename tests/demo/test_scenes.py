"""The demo's scenes."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from segtune.demo.scenes import CLASS_NAMES, PAINT_ORDER, Scene, draw_scene, outline_of

HEIGHT, WIDTH = 120, 160

# pycocotools' own arrays are behind numpy 2.


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Twenty scenes."""
    return [draw_scene(np.random.default_rng([7, index]), HEIGHT, WIDTH) for index in range(20)]


def filled(outline: npt.NDArray[np.float64], height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.bool_]:
    """Pixels whose centre is inside an outline, as CVAT fills it."""
    return np.asarray(coco_mask.decode(coco_mask.frPyObjects([outline.ravel().tolist()], height, width))[:, :, 0], bool)


def painted(scene: Scene) -> npt.NDArray[np.int64]:
    """Index into PAINT_ORDER of each pixel, or -1."""
    labels = np.full((HEIGHT, WIDTH), -1)
    for index, name in enumerate(PAINT_ORDER):
        for item in scene.objects:
            if item.class_name == name:
                labels[filled(item.outline)] = index
    return labels


def test_same_seed_gives_same_scene() -> None:
    first, second = (draw_scene(np.random.default_rng(3), HEIGHT, WIDTH) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert [item.class_name for item in first.objects] == [item.class_name for item in second.objects]
    assert all(np.array_equal(a.outline, b.outline) for a, b in zip(first.objects, second.objects, strict=True))


def test_scenes_differ(scenes: list[Scene]) -> None:
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_picture_has_the_asked_size_and_uses_the_range(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (HEIGHT, WIDTH, 3)
        assert scene.image.dtype == np.uint8
        assert 40 < scene.image.mean() < 220
        assert scene.image.std() > 8


def test_every_class_occurs(scenes: list[Scene]) -> None:
    pictures = Counter(name for scene in scenes for name in {item.class_name for item in scene.objects})
    assert all(pictures[name] >= 5 for name in CLASS_NAMES), pictures


def test_outlines_are_polygons_inside_the_picture_with_two_decimals(scenes: list[Scene]) -> None:
    for item in (item for scene in scenes for item in scene.objects):
        assert len(item.outline) >= 3
        assert (item.outline >= 0).all()
        assert (item.outline <= [WIDTH, HEIGHT]).all()
        assert np.array_equal(item.outline, np.round(item.outline, 2))


def test_objects_are_not_listed_in_paint_order(scenes: list[Scene]) -> None:
    for scene in scenes:
        ranks = [CLASS_NAMES.index(item.class_name) for item in scene.objects]
        assert ranks == sorted(ranks)
    assert PAINT_ORDER != CLASS_NAMES


def test_outlines_in_paint_order_cover_every_picture(scenes: list[Scene]) -> None:
    labels = np.stack([painted(scene) for scene in scenes])
    shares = dict(zip(PAINT_ORDER, (np.bincount(labels.ravel() + 1, minlength=5) / labels.size)[1:], strict=True))
    assert (labels >= 0).mean() > 0.999
    assert 0.25 < shares["sky"] < 0.75
    assert 0.25 < shares["ground"] < 0.75
    assert 0.005 < shares["airplane"] < 0.1
    assert 0.01 < shares["person"] < 0.15


def test_figures_are_where_their_outlines_are(scenes: list[Scene]) -> None:
    """Inside an outline the picture differs from a narrow band around it."""
    differences = []
    for scene in scenes:
        for item in scene.objects:
            if item.class_name in {"person", "airplane"}:
                inside = filled(item.outline)
                rows, columns = np.nonzero(inside)
                if len(rows) < 60:
                    continue
                box = np.s_[max(0, rows.min() - 3) : rows.max() + 4, max(0, columns.min() - 3) : columns.max() + 4]
                part, within = scene.image[box].astype(float), inside[box]
                differences.append(np.abs(part[within].mean(axis=0) - part[~within].mean(axis=0)).max())
    assert np.median(differences) > 20


def test_outline_of_a_mask_fills_the_mask() -> None:
    y, x = np.mgrid[:90, :120]
    mask = ((x - 60) ** 2 / 900 + (y - 40) ** 2 / 400 < 1) | ((abs(x - 30) < 3) & (y > 30))
    again = filled(outline_of(mask.astype(np.float32)), 90, 120)
    assert (again & mask).sum() / (again | mask).sum() > 0.97


def test_outline_of_a_full_mask_is_the_frame() -> None:
    outline = outline_of(np.ones((30, 40), np.float32))
    assert sorted(map(tuple, outline.tolist())) == [(0, 0), (0, 30), (40, 0), (40, 30)]


def test_outline_of_an_empty_mask_is_empty() -> None:
    assert outline_of(np.zeros((30, 40), np.float32)).shape == (0, 2)

"""The VGG Image Annotator's JSON: what is read, which attribute is the class, what is refused."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import paint
from segtune.config import ConvertConfig
from segtune.errors import UserError

HEIGHT, WIDTH = 20, 30
POLYGON = {"name": "polygon", "all_points_x": [2, 12, 12, 2], "all_points_y": [3, 3, 9, 9]}


def region(shape=POLYGON, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes or {"class": "car"}}


def via(*regions, name="a.jpg", as_dict=False):
    listed = {str(index): item for index, item in enumerate(regions)} if as_dict else list(regions)
    return {f"{name}123": {"filename": name, "size": 123, "regions": listed, "file_attributes": {}}}


def write(folder, content, file="via_region_data.json", picture="a.jpg"):
    for name in (file, picture):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / picture)
    (folder / file).write_text(json.dumps(content))
    return folder


def images(folder, attribute=""):
    name, annotations = read_annotations(open_export(folder, attribute=attribute))
    assert name == "via"
    return list(annotations.images())


def covered(box):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    pixels[box] = True
    return pixels


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        (POLYGON, "polygon", covered(np.s_[3:9, 2:12])),
        ({"name": "rect", "x": 2, "y": 3, "width": 10, "height": 6}, "box", covered(np.s_[3:9, 2:12])),
        ({"name": "circle", "cx": 10, "cy": 10, "r": 1.1}, "ellipse", covered(np.s_[9:11, 9:11])),
    ],
)
@pytest.mark.parametrize("as_dict", [True, False])
def test_shapes_cover_their_pixels(tmp_path, shape, kind, expected, as_dict):
    (image,) = images(write(tmp_path, via(region(shape), as_dict=as_dict)))
    assert ([item.kind for item in image.shapes], image.size) == ([kind], None)
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


@pytest.mark.parametrize("theta", [None, 0, 0.5, -1])
def test_ellipses_are_turned_clockwise_by_radians(tmp_path, theta):
    shape = {"name": "ellipse", "cx": 14, "cy": 10, "rx": 9, "ry": 4, **({} if theta is None else {"theta": theta})}
    (image,) = images(write(tmp_path, via(region(shape))))
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH] - np.array([10, 14])[:, None, None]
    cos, sin = math.cos(theta or 0), math.sin(theta or 0)
    expected = ((x * cos + y * sin) / 9) ** 2 + ((y * cos - x * sin) / 4) ** 2 < 1
    found = paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == 1
    assert (found != expected).sum() <= 4  # of 113; the painter rounds to fifths of a pixel


def test_project_is_converted_with_its_subsets(tmp_path):
    attributes = {"region": {"class": {"type": "dropdown", "options": {"car": "a car", "dog": ""}}}, "file": {}}
    for subset in ("train", "val"):
        project = {"_via_settings": {}, "_via_img_metadata": via(region()), "_via_attributes": attributes}
        write(tmp_path / "e", project, f"{subset}/via_project.json", f"{subset}/a.jpg")
    report = convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert report.classes.names == ("background", "car", "dog")
    assert report.num_pictures == {"train": 1, "val": 1}
    for path in (tmp_path / "d").glob("*/Labels/*.png"):
        assert (np.asarray(Image.open(path)) == covered(np.s_[3:9, 2:12])).all()


@pytest.mark.parametrize(
    ("regions", "attribute", "labels"),
    [
        ([region(kind="car"), region(kind="dog")], "", ["car", "dog"]),
        ([region(kind="car", note="x"), region(kind="dog", note="")], "", ["car", "dog"]),
        ([region(kind="car", note="x"), region(kind="dog", note="y")], "note", ["x", "y"]),
        ([region(kind={"car": True, "dog": False})], "", ["car"]),
        ([region(kind=3)], "", ["3"]),
        ([{"shape_attributes": POLYGON, "region_attributes": {}}], "", ["object"]),
        ([{"shape_attributes": POLYGON}], "", ["object"]),
        ([region(kind="")], "", ["object"]),
        (
            [region(kind="car"), {"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {}}],
            "",
            ["car"],
        ),
    ],
)
def test_class_is_in_an_attribute(tmp_path, regions, attribute, labels):
    (image,) = images(write(tmp_path, via(*regions)), attribute)
    assert not image.problems
    assert [item.label for item in image.shapes] == labels


@pytest.mark.parametrize(
    ("regions", "attribute", "message"),
    [
        (
            [region(kind="car", note="x"), region(kind="dog", note="y")],
            "",
            r"which one holds the class\?\n  - kind: 'car', 'dog'\n  - note: 'x', 'y'\nName it: --attribute 'kind'",
        ),
        ([region(kind="car")], "kinds", r"No region has the attribute 'kinds'.*\n.*\n.*Did you mean kind\?"),
        ([region(kind="car"), region(kind="")], "", r"region 2: its attribute 'kind', which .*, is empty"),
        ([region(kind="car"), region(kind={"a": True, "b": True})], "", "has several values: a, b; a pixel has one"),
    ],
)
def test_unclear_classes_are_told(tmp_path, regions, attribute, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(write(tmp_path / "e", via(*regions)), tmp_path / "d", attribute=attribute))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("polyline", "polylines"), ("point", "points"), ("cloud", "regions of the shape cloud")],
)
def test_what_has_no_area_is_counted(tmp_path, name, reason):
    (image,) = images(write(tmp_path, via(region(), region({**POLYGON, "name": name}))))
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (region({**POLYGON, "all_points_x": [1, 2, 3]}), "not two lists of the same length"),
        (region({**POLYGON, "all_points_x": None}), "not two lists of the same length"),
        (region({**POLYGON, "all_points_x": [1, 2, 3, float("nan")]}), r"region 2: the point \(nan, 9\)"),
        (region({**POLYGON, "all_points_x": [1, 2, 3, {}]}), "not all numbers"),
        (region({"name": "circle", "cx": 1, "cy": 1, "r": 1e12}), "no position in a picture"),
        (region({"name": "ellipse", "cx": 1, "cy": 1}), "number was expected"),
        (region(None), "it has no shape_attributes"),
        ("a region", "it has no shape_attributes"),
    ],
)
def test_broken_regions_are_told(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(write(tmp_path / "e", via(region(), broken)), tmp_path / "d"))


def test_unreadable_file_is_told_beside_others(tmp_path):
    write(tmp_path / "e", via(region("broken")))
    (tmp_path / "e" / "z.json").write_text('{"a": {"filename": "a.jpg", "regions": [')
    with pytest.raises(UserError, match="not readable JSON") as error:
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert len(error.value.problems) == 2


def test_real_file_is_read(shared_data):
    found = images(shared_data / "annotation-samples/via/lesc-ufv+kudzu-dataset/val")
    content = json.loads(
        (shared_data / "annotation-samples/via/lesc-ufv+kudzu-dataset/val/via_region_data.json").read_text()
    )
    assert [len(image.shapes) for image in found] == [len(entry["regions"]) for entry in content.values()]
    assert {item.label for image in found for item in image.shapes} == {"object"}
    assert not any(image.problems for image in found)

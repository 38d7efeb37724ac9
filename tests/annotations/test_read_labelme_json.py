"""labelme's JSON: what is read, what is skipped, what is refused."""

import base64
import io
import json
from collections import Counter

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


def shape(points=((2, 3), (12, 3), (12, 9), (2, 9)), label="car", shape_type="polygon", **others):
    return {"label": label, "points": points, "shape_type": shape_type, "flags": {}, "group_id": None, **others}


def write(folder, *shapes, file="a.json", picture="a.jpg", **keys):
    """An export of a picture of 30 x 20; a key of None is left out."""
    for name in (file, picture):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / picture)
    content = {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": None,
        "imageHeight": HEIGHT, "imageWidth": WIDTH, **keys,
    }  # fmt: skip
    (folder / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


def images(folder):
    name, annotations = read_annotations(open_export(folder))
    assert name == "labelme-json"
    return list(annotations.images())


def png(pixels, mode="L"):
    picture = Image.fromarray(pixels.astype(np.uint8) * 255).convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def covered(*boxes):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in boxes:
        pixels[box] = True
    return pixels


RING = covered(np.s_[0:4, 0:5])[:4, :5] & ~covered(np.s_[1:3, 1:4])[:4, :5]


@pytest.mark.parametrize(
    ("drawn", "kind", "expected"),
    [
        (shape(), "polygon", covered(np.s_[3:9, 2:12])),
        (shape(shape_type=None), "polygon", covered(np.s_[3:9, 2:12])),
        (shape([[12, 9], [2, 3]], shape_type="rectangle"), "box", covered(np.s_[3:9, 2:12])),
        (shape([[2, 3], [12, 3], [12, 9], [2, 9]], shape_type="rectangle"), "box", covered(np.s_[3:9, 2:12])),
        (shape(shape_type="oriented_rectangle"), "box", covered(np.s_[3:9, 2:12])),
        (shape(shape_type="rotation", direction=0), "box", covered(np.s_[3:9, 2:12])),
        (
            shape([[10, 10], [10, 8.9]], shape_type="circle"),
            "ellipse",
            covered(np.s_[9:11, 9:11]),
        ),
        (
            shape([[6, 7.9], [10.2, 10]], shape_type="mask", mask=png(RING)),
            "mask",
            covered(np.s_[7:11, 6:11]) & ~covered(np.s_[8:10, 7:10]),
        ),
        (
            shape([[28, 18], [32, 21]], shape_type="mask", mask=png(RING, "1")),
            "mask",
            covered(np.s_[18:20, 28:30]) & ~covered(np.s_[19:, 29:]),
        ),
        (
            shape([[6, 7], [10, 10]], shape_type="mask", mask=png(RING, "P")),
            "mask",
            covered(np.s_[7:11, 6:11]) & ~covered(np.s_[8:10, 7:10]),
        ),
    ],
)
def test_shapes_cover_their_pixels(tmp_path, drawn, kind, expected):
    (image,) = images(write(tmp_path, drawn))
    assert [item.kind for item in image.shapes] == [kind]
    assert not image.problems
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


def test_later_shapes_lie_on_top_and_conventions_are_kept(tmp_path):
    shapes = [
        shape([[0, 0], [30, 0], [30, 20], [0, 20]], "_background_"),
        shape(label="car", group_id=1),
        shape([[20, 12], [25, 12], [25, 15], [20, 15]], "car", group_id=1),
        shape([[4, 4], [6, 4], [6, 6], [4, 6]], "__ignore__"),
    ]
    write(tmp_path / "e", *shapes, file="b.json", picture="b.jpg", imagePath="b.jpg")
    report = convert(ConvertConfig(write(tmp_path / "e", *shapes), tmp_path / "d"))
    assert report.classes.names == ("background", "car")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:9, 2:12] = expected[12:15, 20:25] = 1
    expected[4:6, 4:6] = 255
    for path in (tmp_path / "d").glob("*/Labels/*.png"):
        assert (np.asarray(Image.open(path)) == expected).all()


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (shape([[1, 1], [5, 5]], shape_type="line"), "lines"),
        (shape(shape_type="linestrip"), "polylines"),
        (shape([[1, 1]], shape_type="point"), "points"),
        (shape(shape_type="points"), "points"),
        (shape(shape_type="cuboid"), "shapes of the type cuboid"),
        (shape([[1, 1], [5, 5]]), "objects of fewer than 3 points"),
    ],
)
def test_what_has_no_area_is_counted(tmp_path, left_out, reason):
    (image,) = images(write(tmp_path, shape(), left_out))
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


def test_old_files_are_read(tmp_path):
    old = {"label": "car", "points": [[2, 3], [12, 3], [12, 9]], "line_color": None, "fill_color": None}
    (image,) = images(write(tmp_path, old, version=None, flags=None, imageHeight=None, imageWidth=None))
    assert image.size is None
    assert [item.kind for item in image.shapes] == ["polygon"]


@pytest.mark.parametrize(
    ("stated", "file", "picture"),
    [
        ("a.jpg", "x/a.json", "x/a.jpg"),
        ("..\\pictures\\a.jpg", "json/a.json", "pictures/a.jpg"),
        ("C:\\Users\\me\\a.jpg", "a.json", "a.jpg"),
        ("../other/renamed.jpg", "x/a.json", "x/a.jpg"),
        ("other.jpg", "x/a b (1),ü[2].json", "x/a b (1),ü[2].png"),
        (None, "a.json", "a.jpg"),
        ("a.png", "train/a.json", "train/a.jpg"),
    ],
)
def test_picture_is_found(tmp_path, stated, file, picture):
    (image,) = images(write(tmp_path, shape(), file=file, picture=picture, imagePath=stated))
    assert image.picture == picture
    assert image.subset == ("train" if file.startswith("train") else "")


def test_path_is_relative_to_the_json(tmp_path):
    for scene in ("one", "two"):
        write(tmp_path, shape(), file=f"{scene}/json/a.json", picture=f"{scene}/img/a.jpg", imagePath="..\\img\\a.jpg")
    assert [image.picture for image in images(tmp_path)] == ["one/img/a.jpg", "two/img/a.jpg"]


def test_other_json_files_are_counted(tmp_path):
    write(tmp_path, shape())
    (tmp_path / "settings.json").write_text('{"color": 1}')
    assert images(tmp_path)[-1].skipped == {"JSON files that are not labelme's": 1}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"imageData": "AAAA", "picture": "other.jpg"}, r"a\.json: a\.jpg: its picture a\.jpg is not there; the JSON"),
        ({"picture": "other.jpg"}, r"a\.json: a\.jpg: its picture is not there"),
        ({"imageHeight": 21}, "annotated at 30 x 21"),
        ({"imageHeight": -4}, r"size is stated as 30 x -4"),
        ({"imageHeight": "many"}, "number was expected"),
    ],
)
def test_broken_files_are_told(tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(write(tmp_path / "e", shape(), **spoil), tmp_path / "d"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (shape(label=None), r"object 2 \(None\): the class is None"),
        (shape(label=["a"]), "expected a name"),
        (shape([[float("nan"), 1], [2, 2], [3, 1]]), r"the point \(nan, 1\)"),
        (shape([[1e12, 1], [2, 2], [3, 1]]), "no position in a picture"),
        (shape([[10**400, 1], [2, 2], [3, 1]]), "not all numbers"),
        (shape([[1], [2, 2]]), "not all numbers"),
        (shape(7), "not all numbers"),
        (shape([[1, 1]], shape_type="rectangle"), "it has 1 points, expected 2"),
        (shape([[1, 1]], shape_type="circle"), "it has 1 points, expected 2"),
        (shape([[0, 0], [4, 3]], shape_type="mask"), "its mask is missing"),
        (shape([[0, 0], [4, 3]], shape_type="mask", mask="€"), "not base64"),
        (shape([[0, 0], [4, 3]], shape_type="mask", mask="aaaa"), "not a picture"),
        (shape([[0, 0], [4, 3]], shape_type="mask", mask=png(RING)[:64]), "can't be"),
        (shape([[0, 0], [9, 9]], shape_type="mask", mask=png(RING)), "its mask has 5 x 4 pixels, expected 10 x 10"),
        ("a shape", "no object with label and points"),
    ],
)
def test_broken_objects_are_told(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(write(tmp_path / "e", shape(), broken), tmp_path / "d"))


@pytest.mark.parametrize("content", ["", "{", '{"shapes": [', "[" * 100_000, "\x00"])
def test_unreadable_files_are_told_beside_others(tmp_path, content):
    write(tmp_path / "e", shape())
    write(tmp_path / "e", shape(label=None), file="b.json", picture="b.jpg", imagePath="b.jpg")
    (tmp_path / "e" / "c.json").write_text(content)
    with pytest.raises(UserError, match=r"c\.json: c\.json in .* is not readable JSON") as error:
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("path", "kinds", "skipped"),
    [
        ("bubbliiiing+unet-pytorch", {"polygon": 1}, {}),
        (
            "ykszk+labelme-rs/tests/data",
            {"polygon": 2, "ellipse": 2, "box": 1},
            {"polylines": 6, "points": 3, "lines": 1},
        ),
        ("ykszk+labelme-rs/lmrs/tests", {}, {"points": 9, "lines": 2}),
    ],
)
def test_real_files_are_read(shared_data, path, kinds, skipped):
    found = images(shared_data / "annotation-samples/labelme-json" / path)
    assert Counter(item.kind for image in found for item in image.shapes) == kinds
    assert sum((Counter(image.skipped) for image in found), Counter()) == skipped
    # One has its picture only as imageData.
    assert [len(image.problems) for image in found] == [path.startswith("bubb")] * len(found)

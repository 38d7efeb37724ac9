"""Supervisely projects: what is read, what is skipped, what is refused."""

import base64
import io
import json
import math
import zlib

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
OUTLINE = [[2, 3], [12, 3], [12, 9], [2, 9]]
HOLE = [[4, 4], [6, 4], [6, 6], [4, 6]]
INSIDE, IN_HOLE = np.s_[4:10, 3:13], np.s_[5:7, 5:7]
"""Whole numbers name pixels; on an edge through their centres, those below and on the right are inside."""
META = {
    "classes": [
        {"title": "car", "shape": "polygon", "color": "#FF8000", "id": 7},
        {"title": "road", "shape": "line", "color": "#00FF00", "id": 8},
        {"title": "tree", "shape": "bitmap", "color": "oops", "id": 9},
    ]
}


def thing(exterior=OUTLINE, interior=(), geometry="polygon", title="car", **others):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": title, "geometryType": geometry, "points": points, "tags": [], **others}


def pack(pixels, mode="P"):
    picture = Image.fromarray(pixels.astype(np.uint8))
    file = io.BytesIO()
    if mode == "P":  # as Supervisely's own package writes it
        picture.putpalette([0, 0, 0, 255, 255, 255])
        picture.save(file, "PNG", transparency=0)
    elif mode == "RGBA":
        Image.merge("RGBA", [Image.new("L", picture.size)] * 3 + [picture]).save(file, "PNG")
    else:
        picture.point(lambda value: value * 255).convert(mode).save(file, "PNG")
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def bitmap(data, origin=(6, 7), geometry="bitmap", **others):
    return {"classTitle": "car", "geometryType": geometry, "bitmap": {"data": data, "origin": origin}, **others}


def write(folder, *objects, dataset="ds", name="a.jpg", file="a.jpg.json", meta=META, **keys):
    for part in ("img", "ann"):
        (folder / dataset / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / dataset / "img" / name)
    content = {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": objects, **keys}
    (folder / dataset / "ann" / file).write_text(json.dumps(content))
    if meta is not None:
        (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def images(folder):
    name, annotations = read_annotations(open_export(folder))
    assert name == "supervisely"
    return list(annotations.images())


def covered(*boxes, without=np.s_[0:0, 0:0]):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in boxes:
        pixels[box] = True
    pixels[without] = False
    return pixels


RING = covered(np.s_[0:4, 0:5], without=np.s_[1:3, 1:4])[:4, :5]
SHOWN_RING = covered(np.s_[7:11, 6:11], without=np.s_[8:10, 7:10])


@pytest.mark.parametrize(
    ("drawn", "kind", "expected"),
    [
        (thing(), "polygon", covered(INSIDE)),
        (thing([[2.0, 3.25], [12, 3.25], [12, 9], [2, 9]]), "polygon", covered(np.s_[3:9, 2:12])),
        (thing(interior=[HOLE]), "polygon", covered(INSIDE, without=IN_HOLE)),
        (thing([[2, 3], [11, 8]], geometry="rectangle"), "box", covered(np.s_[3:9, 2:12])),
        (thing([[12.0, 9.5], [2.5, 3]], geometry="rectangle"), "box", covered(np.s_[3:10, 3:12])),
        (
            thing([[4.5, 10], [16.5, 11]], geometry="oriented_bbox", angle=math.pi / 2),
            "box",
            covered(np.s_[5:17, 10:11]),
        ),
        (bitmap(pack(RING)), "mask", SHOWN_RING),
        (bitmap(pack(RING, "1")), "mask", SHOWN_RING),
        (bitmap(pack(RING, "RGBA"), geometry="alpha_mask"), "mask", SHOWN_RING),
        (bitmap(pack(RING), geometry=None), "mask", SHOWN_RING),
        (bitmap(pack(RING), origin=(28, -3)), "mask", covered(np.s_[0:1, 28:30])),
        (thing(geometry=None), "polygon", covered(INSIDE)),
        (thing(title=None, geometry=None, classId=7), "polygon", covered(INSIDE)),
    ],
)
def test_objects_cover_their_pixels(tmp_path, drawn, kind, expected):
    (image,) = images(write(tmp_path, drawn))
    assert not image.problems
    assert ([item.kind for item in image.shapes], image.size) == ([kind], (HEIGHT, WIDTH))
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


def test_project_is_converted_with_colors_and_subsets(tmp_path):
    write(tmp_path / "e", thing(), thing(HOLE, title="tree"), dataset="train")
    write(tmp_path / "e", thing(interior=[HOLE]), dataset="val", name="b.png", file="b.png.json")
    report = convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert report.classes.names == ("background", "car", "tree")
    assert report.classes.colors[1] == (255, 128, 0)
    expected = covered(INSIDE).astype(np.uint8)
    expected[IN_HOLE] = 2
    assert (np.asarray(Image.open(tmp_path / "d/train/Labels/a.png")) == expected).all()
    expected[IN_HOLE] = 0
    assert (np.asarray(Image.open(tmp_path / "d/val/Labels/b.png")) == expected).all()


@pytest.mark.parametrize("geometry", ["line", "point", "graph", "cuboid"])
def test_what_has_no_area_is_counted(tmp_path, geometry):
    (image,) = images(write(tmp_path, thing(), thing(geometry=geometry)))
    assert len(image.shapes) == 1
    assert sum(image.skipped.values()) == 1


@pytest.mark.parametrize("file", ["a.jpg.json", "a.json"])
def test_pictures_of_one_name_in_two_datasets_are_told_apart(tmp_path, file):
    for dataset in ("one", "two"):
        write(tmp_path, thing(), dataset=dataset, file=file)
    assert [image.picture for image in images(tmp_path)] == ["one/img/a.jpg", "two/img/a.jpg"]


def test_a_meta_whose_shapes_are_no_words_is_read(tmp_path):
    meta = {"classes": [{"title": "car", "shape": ["polygon"]}]}
    (image,) = images(write(tmp_path, thing(), meta=meta))
    assert [shape.label for shape in image.shapes] == ["car"]


def test_pictures_without_objects_and_a_missing_meta_are_accepted(tmp_path):
    write(tmp_path, meta=None)
    assert [len(image.shapes) for image in images(write(tmp_path, thing(), name="b.jpg", file="b.jpg.json"))] == [0, 1]


BOMB = base64.b64encode(zlib.compress(bytes(2**26 + 1))).decode()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (thing(title=None), r"object 2 \(None\): the class is None"),
        (thing([[1e12, 1], [2, 2], [3, 1]]), "no position in a picture"),
        (thing(None), "not all numbers"),
        (thing(interior=[5]), "not all numbers"),
        (thing(points=5), "it has no points"),
        (thing(points={"exterior": OUTLINE, "interior": 5}), "no list of outlines"),
        (thing(geometry="rectangle"), "its box has 4 corners, expected 2"),
        (bitmap(None), "its mask is missing"),
        (bitmap("€"), "not base64"),
        (bitmap("aaaa"), "its bitmap can't be unpacked"),
        (bitmap(base64.b64encode(zlib.compress(b"x")).decode()), "not a picture"),
        (bitmap(BOMB), "unpacks to more than 64 MiB"),
        (bitmap(pack(RING), origin=[1]), "no bitmap with data and origin"),
        (bitmap(pack(RING), origin=["x", 1]), "number was expected"),
        (thing(geometry="bitmap"), "no bitmap with data and origin"),
        (7, "object 2: it is no object"),
    ],
)
def test_broken_objects_are_told(tmp_path, broken, message):
    write(tmp_path / "e", thing(), broken)
    source = write(tmp_path / "e", thing(), name="b.jpg", file="b.jpg.json")
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ("[]", "it has no list of objects"),
        ('{"objects": []}', "it has no size with height and width"),
        ('{"objects": [], "size": {"height": -1, "width": 5}}', "size is stated as 5 x -1"),
    ],
)
def test_broken_files_are_told(tmp_path, content, message):
    write(tmp_path / "e", thing())
    (tmp_path / "e/ds/ann/b.jpg.json").write_text(content)
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))

"""Datumaro's JSON: what is read, what is skipped, what is refused."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import paint
from segtune.config import ConvertConfig
from segtune.errors import UserError

HEIGHT, WIDTH = 20, 30
POLYGON = [2, 3, 12, 3, 12, 9, 2, 9]
LABELS = ("car", "bus")


def thing(kind="polygon", label_id=0, **keys):
    keys = keys or {"points": POLYGON}
    return {"id": 0, "type": kind, "attributes": {}, "group": 0, "label_id": label_id, "z_order": 0, **keys}


def item(*annotations, name="a", **image):
    image = {"path": f"{name}.jpg", "size": [HEIGHT, WIDTH], **image}
    return {"id": name, "annotations": annotations, "attr": {"frame": 0}, "image": image}


def export(folder, *items, labels=LABELS, file="annotations/default.json", at=("images/default/a.jpg",), **categories):
    for name in at:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    entries = [{"name": label, "parent": "", "attributes": []} if isinstance(label, str) else label for label in labels]
    categories = {"label": {"labels": entries, "attributes": []}, **categories}
    (folder / file).write_text(json.dumps({"info": {}, "categories": categories, "items": items}))
    return folder


def images(folder):
    name, annotations = read_annotations(open_export(folder))
    assert name == "datumaro"
    return list(annotations.images())


def covered(*boxes):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in boxes:
        pixels[box] = True
    return pixels


RECTANGLE = covered(np.s_[3:9, 2:12])
RING = RECTANGLE & ~covered(np.s_[5:7, 4:8])
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH] + 0.5
# No centre of a pixel is near its edge.
ELLIPSE = ((COLUMNS - 12) / 3) ** 2 + ((ROWS - 9) / 2) ** 2 < 1


def rle(pixels):
    encoded = coco_masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


@pytest.mark.parametrize(
    ("annotation", "kind", "expected"),
    [
        (thing(), "polygon", RECTANGLE),
        (thing("mask", rle=rle(RING)), "mask", RING),
        (thing("bbox", bbox=[2, 3, 10, 6]), "box", RECTANGLE),
        (thing("bbox", bbox=[2, 4, 10, 6], attributes={"rotation": 90.0}), "box", covered(np.s_[2:12, 4:10])),
        (thing("ellipse", points=[9, 7, 15, 11]), "ellipse", ELLIPSE),
    ],
)
def test_annotations_cover_their_pixels(tmp_path, annotation, kind, expected):
    (image,) = images(export(tmp_path, item(annotation)))
    assert [shape.kind for shape in image.shapes] == [kind]
    assert not image.problems
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


def test_z_order_is_painted_and_subsets_are_kept(tmp_path):
    for subset, order in (("train", (3, -1)), ("val", (0, 0))):
        annotations = [thing(label_id=place, points=POLYGON, z_order=z) for place, z in enumerate(order)]
        file, at = f"annotations/{subset}.json", f"images/{subset}/a.jpg"
        export(tmp_path / "e", item(*annotations), file=file, at=[at])
    report = convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert report.classes.names == ("background", "car", "bus")
    for split, value in (("train", 1), ("val", 2)):
        (path,) = (tmp_path / "d" / split / "Labels").iterdir()
        assert (np.asarray(Image.open(path)) == RECTANGLE * value).all()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("polyline", "polylines"), ("points", "points"), ("skeleton", "skeletons"), ("caption", "captions"),
        ("label", "labels of whole pictures"), ("cuboid_3d", "cuboids"), ("new", "annotations of the type new"),
    ],
)  # fmt: skip
def test_what_has_no_area_is_counted(tmp_path, kind, reason):
    (image,) = images(export(tmp_path, item(thing(), thing(kind, label_id=None))))
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


def test_labels_are_declared_with_colors_but_for_parts_of_skeletons(tmp_path):
    labels = ("person", {"name": "nose", "parent": "person"}, "car")
    mask = {"colormap": [{"label_id": 2, "r": 1, "g": 2, "b": 3}]}
    folder = export(tmp_path, item(), labels=labels, mask=mask, points={"items": [{"label_id": 0, "labels": ["nose"]}]})
    _, annotations = read_annotations(open_export(folder))
    assert [(entry.name, entry.color) for entry in annotations.classes] == [("person", None), ("car", (1, 2, 3))]


@pytest.mark.parametrize(
    ("name", "path", "at"),
    [
        ("a", "a.jpg", "images/default/a.jpg"),
        ("a.v2", "a.v2.jpg", "images/default/a.v2.jpg"),
        ("a.jpg", "a.jpg", "images/default/a.jpg"),
        ("cam 1/ü", "cam 1/ü.jpg", "images/default/cam 1/ü.jpg"),
        ("cam1/a", "cam1_a.jpg", "images/default/cam1_a.jpg"),
        ("a", "C:\\data\\a.PNG", "images/default/a.png"),
        ("a", "/home/me/a.jpg", "pictures/a.jpg"),
        ("a", "", "a.jpg"),
        ("a", None, "a.jpg"),
        ("..", "a.jpg", "a.jpg"),
        ("/", ".", None),
    ],
)
def test_picture_is_found(tmp_path, name, path, at):
    opened = open_export(export(tmp_path, item(thing(), name=name, path=path), at=[at] if at else []))
    (image,) = read_annotations(opened)[1].images()
    assert (image.picture or opened.pictures.find(image.name, image.subset, image.file)) == at


def test_size_and_image_may_be_missing(tmp_path):
    items = [item(thing(), size=None), {"id": "b", "annotations": [thing()]}]
    found = images(export(tmp_path, *items, at=["images/default/a.jpg", "images/default/b.png"]))
    assert [image.size for image in found] == [None, None]
    assert [len(image.shapes) for image in found] == [1, 1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": ["car", 7.5]}, "a label is the number 7.5"),
        ({"labels": ["car", {"name": None}]}, "a label's name is missing"),
        ({"label": []}, "its? ?.*no list of labels|'label'|label is number 0, but there are 0"),
        ({"label": 7}, "'label' is the number 7"),
        ({"mask": {"colormap": [{"label_id": 0, "r": "red"}]}}, "number was expected"),
        ({"at": []}, r"annotations/default\.json: a\.jpg: its picture is not there"),
    ],
)
def test_broken_files_are_told(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", item(thing()), **keys), tmp_path / "d"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (item("x"), "annotation 1 is the text 'x'"),
        (item() | {"annotations": 7}, "list of its annotations is the number 7"),
        (item() | {"id": None}, "item 1: an item's id is missing"),
        ("an item", "item 1: an item is the text"),
        (item(size=[HEIGHT, WIDTH + 1]), "annotated at 31 x 20"),
        (item(size=[HEIGHT, 1e12]), "no position in a picture"),
        (item(thing(label_id=None)), "annotation 1: the polygon has no label"),
        (item(thing(label_id=2)), "its label is number 2, but there are 2, counted from 0"),
        (item(thing(label_id=-1)), "its label is number -1"),
        (item(thing(label_id="x")), "number was expected"),
        (item(thing(points=[1, 1, float("nan"), 2, 3, 1])), r"the point \(nan, 2\)"),
        (item(thing(points=[1, 1, 1e12, 2, 3, 1])), "no position in a picture"),
        (item(thing(points="x")), "its points is the text 'x'"),
        (item(thing(points=POLYGON, z_order="top")), "number was expected"),
        (item(thing("mask", rle=None)), "its RLE is missing"),
        (item(thing("mask", rle={"size": [HEIGHT, WIDTH], "counts": "5"})), "add up to 5 pixels"),
        (item(thing("mask", rle={"size": [2, 3], "counts": "06"})), "its mask has 3 x 2 pixels, its picture 30 x 20"),
        (item(thing("bbox", bbox=[1, 2, 3])), "its bbox are 3 numbers, expected 4"),
        (item(thing("ellipse", points=[1, 2, 3, {}])), "number was expected"),
    ],
)
def test_broken_items_are_told(tmp_path, broken, message):
    at = ["images/default/a.jpg", "images/default/b.jpg"]
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", item(thing(), name="b"), broken, at=at), tmp_path / "d"))


def test_a_file_cut_short_is_told_beside_others(tmp_path):
    export(tmp_path / "e", item(thing(label_id=9)))
    (tmp_path / "e" / "annotations" / "val.json").write_text('{"items": [')
    with pytest.raises(UserError, match=r"annotations/val\.json in .* is not readable JSON") as error:
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert len(error.value.problems) == 2


def test_other_json_files_are_counted(tmp_path):
    export(tmp_path, item(thing()))
    (tmp_path / "settings.json").write_text("[1]")
    assert images(tmp_path)[0].skipped == {"JSON files that are not Datumaro's": 1}


def test_real_files_are_read(shared_data):
    folder = shared_data / "annotation-samples/datumaro-json/cvat-ai+datumaro/tests/assets/datumaro_dataset"
    (skeleton,) = images(folder / "with_skeleton")
    assert (skeleton.size, skeleton.skipped) == ((10, 6), {"skeletons": 1})
    found = images(folder / "diverse")
    assert Counter(image.subset for image in found) == {"": 2, "train": 2, "val": 1, "test": 2}
    # Its annotations are made up: two have no label, one a label that is not there, and a mask is not of its picture.
    assert sum(len(image.problems) for image in found) == 4

"""Ultralytics' YOLO segmentation: what is read, what is skipped, what is refused."""

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import paint
from segtune.config import ConvertConfig
from segtune.errors import UserError

HEIGHT, WIDTH = 20, 40
RECTANGLE = "0.1 0.15 0.6 0.15 0.6 0.45 0.1 0.45"
NAMES = "names: [car, bus]\n"


def write(folder, texts, pictures=("images/train/a.jpg",), yaml=NAMES, yaml_file="data.yaml"):
    """An export: text files by name, pictures, and a data.yaml, or none where its text is None."""
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    for name, text in {**texts, **({} if yaml is None else {yaml_file: yaml})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def one(folder, text, **keys):
    return write(folder, {"labels/train/a.txt": text}, **keys)


def images(folder, class_names=()):
    name, annotations = read_annotations(open_export(folder, class_names=class_names))
    assert name == "yolo-seg"
    return list(annotations.images())


def covered(*boxes):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in boxes:
        pixels[box] = True
    return pixels


COVERED = covered(np.s_[3:9, 4:24])


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        (f"0 {RECTANGLE}", "polygon", COVERED),
        (f"0 {RECTANGLE} 17", "polygon", COVERED),
        (f"\ufeff\r\n0  {RECTANGLE} \r\n\r\n", "polygon", COVERED),
        (f"0.0 {RECTANGLE}", "polygon", COVERED),
        ("0 -0.01 -0.2 1.00001 -0.2 1.00001 0.15 -0.01 0.15", "polygon", covered(np.s_[:3, :])),
        ("0 1e-1 0.15 6E-1 0.15 0.6 0.45 0.1 0.45", "polygon", COVERED),
        ("0 0.35 0.3 0.5 0.3", "box", COVERED),
        ("0 0.35 0.3 0.5 0.3 4", "box", COVERED),
    ],
)
def test_lines_cover_their_pixels(tmp_path, line, kind, expected):
    (image,) = images(one(tmp_path, line))
    assert [shape.kind for shape in image.shapes] == [kind]
    assert not image.problems
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


LAYOUTS = {
    "CVAT": (
        {"labels/train/a.txt": "1", "labels/val/b.txt": "0", "train.txt": "data/images/train/a.jpg\n"},
        ["images/train/a.jpg", "images/val/b.jpg"],
        "path: .\ntrain: train.txt\nval: val.txt\nnames:\n  0: car\n  1: bus\n",
    ),
    "Roboflow": (
        {"train/labels/a_jpg.rf.0a.txt": "1", "valid/labels/b.txt": "0", "README.roboflow.txt": "Hello"},
        ["train/images/a_jpg.rf.0a.jpg", "valid/images/b.jpg"],
        "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['car', 'bus']\nroboflow:\n  license: MIT\n",
    ),
    "Ultralytics": (
        {"coco/labels/train2017/a.txt": "1", "coco/labels/val2017/b.txt": "0"},
        ["coco/images/train2017/a.jpg", "coco/images/val2017/b.jpg"],
        "path: ../datasets/coco\ntrain: images/train2017\nval: images/val2017 # 5\ntest:\nnames:\n  0: car\n  1: bus\n",
    ),
    "stale absolute paths": (
        {"one/labels/a.txt": "1", "two/labels/b.txt": "0"},
        ["one/images/a.jpg", "two/images/b.jpg"],
        "train: [/content/set/one/images]\nval: ['C:\\data\\set\\two\\images']\nnames: [car, bus]\n",
    ),
    "lists of pictures": (
        {
            "labels/a.txt": "1", "labels/b.txt": "0",
            "train.txt": "./images/a.jpg\r\n", "val.txt": "/home/me/set/images/b.png\n",
        },
        ["images/a.jpg", "images/b.jpg"],
        "train: train.txt\nval: val.txt\nnames: [car, bus]\n",
    ),
    "labels beside pictures": (
        {"train/a.txt": "1", "val/b.txt": "0", "notes.txt": "Hello", "more.txt": "Hello"},
        ["train/a.jpg", "val/b.jpg"],
        NAMES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_are_read_with_their_subsets(tmp_path, case):
    texts, pictures, yaml = LAYOUTS[case]
    texts = {name: f"{text} {RECTANGLE}\n" if len(text) == 1 else text for name, text in texts.items()}
    report = convert(ConvertConfig(write(tmp_path / "e", texts, pictures, yaml), tmp_path / "d"))
    assert report.classes.names == ("background", "car", "bus")
    assert report.num_pictures == {"train": 1, "val": 1}
    assert report.skipped == ({"text files that are not labels": 1} if "more.txt" in texts else {})
    for split, value in (("train", 2), ("val", 1)):
        (path,) = (tmp_path / "d" / split / "Labels").iterdir()
        assert (np.asarray(Image.open(path)) == COVERED * value).all()


@pytest.mark.parametrize(
    ("label", "picture"),
    [
        ("labels/a.txt", "images/a.PNG"),
        ("labels/a.v2.txt", "images/a.v2.jpg"),
        ("labels/sub dir/a [1], ü.txt", "images/sub dir/a [1], ü.png"),
        ("set/Labels/train/a.txt", "set/Images/train/a.jpg"),
        ("labels/train/a.txt", "a.jpg"),
        ("train/labels/train.txt", "train/images/train.jpg"),
    ],
)
def test_picture_is_found(tmp_path, label, picture):
    (image,) = images(write(tmp_path, {label: f"0 {RECTANGLE}"}, [picture]))
    assert image.picture == picture
    assert len(image.shapes) == 1


@pytest.mark.parametrize(
    ("yaml", "subset"),
    [
        ("train: images\nval: images\n", ""),
        ("train: images/one\nval: images/two\n", "train"),
        ("train: images/two\nval: images\n", "val"),
        ("train: ''\nval: ..\ntest: [images/one]\n", "test"),
        ("train: 7\nval: {a: b}\n", ""),
        ("train: missing.txt\n", ""),
    ],
)
def test_subset_is_what_the_data_yaml_says(tmp_path, yaml, subset):
    (image,) = images(write(tmp_path, {"labels/one/a.txt": f"0 {RECTANGLE}"}, ["images/one/a.jpg"], yaml + NAMES))
    assert image.subset == subset


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("names: [car, bus]", ["car", "bus"]),
        ("names: ['no', 1.0, ~]", ["no", "1.0", "~"]),
        ("names: {1: bus, 0: ' car '}", ["car", "bus"]),
        ("names:\n  0: car\n  2: bus\n", ["car", "bus"]),
        ("nc: 2\nnames:\n- car\n- bus: x\n", None),
        ("names: car", None),
        ("names: []", None),
        ("names: {x: car}", None),
        ("names: [car, car]", None),
        ("names: &a [car, bus]\nother: *a\n", None),
        ("a: [&a [x, x], &b [*a, *a]]\nnames: [car, bus]", None),
        ("names: [car", None),
        ("names: !!python/object/apply:os.system [ls]\n", None),
        ("[" * 10_000, None),
        ("names: [car]\n#" + "x" * 2**20, None),
        ("nc: 1\nkpt_shape: [17, 3]\n" + NAMES, None),
    ],
)
def test_names_of_a_data_yaml(tmp_path, yaml, expected):
    opened = open_export(one(tmp_path, f"0 {RECTANGLE}", yaml=yaml))
    if expected is None:
        with pytest.raises(UserError, match=r"data\.yaml|several classes"):
            read_annotations(opened)
    else:
        assert [entry.name for entry in read_annotations(opened)[1].classes] == expected


@pytest.mark.parametrize(
    ("texts", "class_names", "expected"),
    [
        ({"classes.txt": "car\nbus\n"}, (), "bus"),
        ({"labels/classes.txt": "\ufeffcar\r\n bus \r\n\r\n"}, (), "bus"),
        ({"obj.names": "car\nbus\n", "train.txt": "a.jpg\n"}, (), "bus"),
        ({"data.yml": NAMES, "classes.txt": "x\ny\n"}, (), "bus"),
        ({"classes.txt": "car\nbus\n"}, ("bus", "car"), "bus"),
        ({"args.yaml": "[", "hyp.yaml": "lr: 1"}, ("car", "bus"), "bus"),
    ],
)
def test_names_of_other_files(tmp_path, texts, class_names, expected):
    folder = write(tmp_path, {"labels/train/a.txt": f"1 {RECTANGLE}", **texts}, yaml=None)
    (image,) = images(folder, class_names)
    assert [shape.label for shape in image.shapes] == [expected]


def test_boxes_of_darknet_are_recognised(tmp_path):
    texts = {"obj_train_data/a.txt": "1 0.35 0.3 0.5 0.3", "obj.names": "car\nbus", "train.txt": "data/a.jpg"}
    (image,) = images(write(tmp_path, texts, ["obj_train_data/a.jpg"], yaml=None))
    assert [(shape.label, shape.kind) for shape in image.shapes] == [("bus", "box")]


def test_empty_files_are_pictures_without_objects(tmp_path):
    texts = {"labels/a.txt": f"0 {RECTANGLE}", "labels/b.txt": "", "labels/c.txt": "0 0.1 0.1 0.2"}
    found = images(write(tmp_path, texts, [f"images/{name}.jpg" for name in "abcd"]))
    assert [(len(image.shapes), len(image.problems)) for image in found] == [(1, 0), (0, 0), (0, 1)]


def test_pictures_without_objects_are_background_on_request(tmp_path):
    texts = {"labels/a.txt": f"0 {RECTANGLE}", "labels/b.txt": f"0 {RECTANGLE}", "labels/c.txt": ""}
    texts["labels/e.txt"] = "0 0.35 0.3 0.5 0.3"  # a box that is not painted: there is an object
    folder = write(tmp_path / "e", texts, [f"images/{name}.jpg" for name in "abcde"])
    report = convert(ConvertConfig(folder, tmp_path / "d", empty="background"))
    assert sum(report.num_pictures.values()) == 3
    assert report.skipped == {
        "pictures without annotations": 1,
        "boxes (--boxes fills them)": 1,
        "pictures whose objects are all left out": 1,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"2 {RECTANGLE}", r"labels/train/a\.txt: images/train/a\.jpg: line 2: its class is number 2, .* are 0 to 1"),
        (f"-1 {RECTANGLE}", "its class is number -1"),
        (f"1234567890123 {RECTANGLE}", "no position|class is number"),
        (f"² {RECTANGLE}", "number was expected"),
        (f"car {RECTANGLE}", "'car' stands where a number was expected"),
        (f"0.5 {RECTANGLE}", "whole number was expected"),
        ("0 0.1 0.1 0.2 0.1 0.2", "it has 5 coordinates, expected x and y of each point"),
        ("0 0.1 0.1 0.2 0.1 nan 0.2", "no position in a picture"),
        ("0 0.1 0.1 0.2 0.1 1e12 0.2", "no position in a picture"),
        ("0 0.1 0.1 0.2 0.1 x 0.2", "not all numbers"),
        ("0 0.1 0.1 nan 0.1", "no position in a picture"),
        ("0 4 3 24 3 24 9 4 9", "no shares of the picture's width and height"),
        ("0 14 6 20 6", "no shares of the picture's width and height"),
        ("0,0.1,0.15,0.6,0.15,0.6,0.45", "number was expected"),
        ("\x00" * 50, "number was expected"),
    ],
)
def test_broken_lines_are_told(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(one(tmp_path / "e", f"0 {RECTANGLE}\n{line}\n"), tmp_path / "d"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pictures": []}, r"labels/train/a\.txt: images/train/a: its picture is not there"),
        ({"pictures": ["images/val/a.jpg"]}, r"labels/train/a\.txt: images/train/a: its picture is not there"),
        ({"pictures": ["images/train/b.jpg"]}, r"labels/train/a\.txt: images/train/a: its picture is not there"),
        ({"yaml": None}, "no data.yaml that names the classes"),
    ],
)
def test_what_is_missing_is_told(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(one(tmp_path / "e", f"0 {RECTANGLE}", **keys), tmp_path / "d"))


def test_data_yamls_that_differ_are_told(tmp_path):
    write(tmp_path, {"one/labels/a.txt": "0", "two/data.yaml": "names: [bus, car]"}, ["one/images/a.jpg"])
    with pytest.raises(UserError, match=r"different names: data\.yaml, two/data\.yaml"):
        read_annotations(open_export(tmp_path))


@pytest.mark.parametrize(("other", "differs"), [("bus\ncar\n", True), ("\ufeffcar\r\nbus", False), ("", False)])
def test_lists_of_classes_that_differ_are_told(tmp_path, other, differs):
    texts = {"one/labels/a.txt": f"1 {RECTANGLE}", "one/classes.txt": "car\nbus\n", "two/classes.txt": other}
    folder = write(tmp_path, texts, ["one/images/a.jpg"], yaml=None)
    if differs:
        with pytest.raises(UserError, match=r"lists of classes that differ: one/classes\.txt, two/classes\.txt"):
            images(folder)
    else:
        assert [shape.label for image in images(folder) for shape in image.shapes] == ["bus"]


def test_points_of_1_or_2_are_counted(tmp_path):
    (image,) = images(one(tmp_path, "0 0.1 0.1\n0\n"))
    assert image.skipped == {"objects of fewer than 3 points": 2}


@pytest.mark.parametrize(
    "texts",
    [
        {"labels/a.txt": "Car 0.0 0 0.1 0.2 0.3 0.4"},
        {"labels/a.txt": ""},
        {"a.txt": f"0 {RECTANGLE}"},
        {"a.txt": "1 2 3", "classes.txt": "car"},
        {"labels/train.txt": "a.jpg b.png"},
    ],
)
def test_other_text_files_are_not_claimed(tmp_path, texts):
    with pytest.raises(UserError, match="no annotation export"):
        read_annotations(open_export(write(tmp_path, texts, ["a.jpg"], yaml=None)))


def test_real_files_are_read(shared_data):
    folder = shared_data / "annotation-samples/yolo-seg/cvat-ai+datumaro/tests/assets/yolo_dataset"
    (image,) = images(folder / "yolov8_segmentation")
    assert [(shape.label, shape.kind) for shape in image.shapes] == [("label_2", "polygon"), ("label_4", "polygon")]
    assert (image.picture, image.subset, image.size) == ("images/train/1.jpg", "train", (10, 15))
    # The picture is 15 x 10 pixels.
    assert np.allclose(image.shapes[0].geometry.outlines[0], [[1.5, 1], [6, 1], [6, 5]])


def test_a_data_yaml_stands_for_its_folder(tmp_path):
    one(tmp_path, f"0 {RECTANGLE}")
    (image,) = images(tmp_path / "data.yaml")
    assert image.picture == "images/train/a.jpg"


def test_names_that_no_file_can_hold_are_told(tmp_path):
    with pytest.raises(UserError, match=r"data\.yaml .* half a character"):
        images(one(tmp_path, f"0 {RECTANGLE}", yaml='names: ["car \\ud800"]\n'))

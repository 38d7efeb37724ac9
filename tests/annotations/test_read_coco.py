"""COCO JSON: what is read, what is skipped, what is refused."""

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
BOX = [2, 3, 12, 3, 12, 9, 2, 9]
CLASSES = ({"id": 1, "name": "car"}, {"id": 2, "name": "bus"})


def thing(segmentation=(BOX,), image_id=0, category_id=1, **keys):
    return {"id": 5, "image_id": image_id, "category_id": category_id, "segmentation": segmentation, **keys}


def pictures(*names, **keys):
    return [
        {"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH} | keys for index, name in enumerate(names)
    ]


def export(folder, *annotations, images=None, categories=CLASSES, file="annotations/instances_default.json", at=None):
    """An export; the pictures lie where their names say, or at the paths ``at``."""
    images = pictures("a.jpg") if images is None else images
    for name in at if at is not None else [image["file_name"] for image in images]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    (folder / file).write_text(json.dumps(content))
    return folder


def images(folder):
    name, annotations = read_annotations(open_export(folder))
    assert name == "coco"
    return list(annotations.images())


def covered(*boxes):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in boxes:
        pixels[box] = True
    return pixels


RECTANGLE = covered(np.s_[3:9, 2:12])
RING = covered(np.s_[3:9, 2:12]) & ~covered(np.s_[5:7, 4:8])


def compressed(pixels):
    encoded = coco_masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def uncompressed(pixels):
    flat = pixels.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {"size": list(pixels.shape), "counts": [0, *counts] if flat[0] else counts}


@pytest.mark.parametrize(
    ("annotation", "kind", "expected"),
    [
        (thing(), "polygon", RECTANGLE),
        (thing(BOX), "polygon", RECTANGLE),
        (thing([[[2, 3], [12, 3], [12, 9], [2, 9]]]), "polygon", RECTANGLE),
        (thing([BOX, [4, 5, 8, 5, 8, 7, 4, 7]]), "polygon", RECTANGLE),
        (thing([BOX, [20, 3, 25, 3, 25, 9, 20, 9], [1, 1]]), "polygon", RECTANGLE | covered(np.s_[3:9, 20:25])),
        (thing(compressed(RING)), "mask", RING),
        (thing(compressed(~RING)), "mask", ~RING),
        (thing(uncompressed(RING), iscrowd=1), "mask", RING),
        (thing(uncompressed(~RING), iscrowd=1), "mask", ~RING),
        (thing(isbbox=True), "box", RECTANGLE),
        (thing([], bbox=[2, 3, 10, 6]), "box", RECTANGLE),
        (thing([[]], bbox=[2, 3, 10, 6]), "box", RECTANGLE),
        (thing(None, bbox=[2, 3, 10, 6], attributes={"occluded": False}), "box", RECTANGLE),
        (thing([], bbox=[2, 4, 10, 6], attributes={"rotation": 90.0}), "box", covered(np.s_[2:12, 4:10])),
    ],
)
def test_annotations_cover_their_pixels(tmp_path, annotation, kind, expected):
    (image,) = images(export(tmp_path, annotation))
    assert [shape.kind for shape in image.shapes] == [kind]
    assert not image.problems
    assert (paint(image.shapes, (HEIGHT, WIDTH), {"car": 1}).labels == expected).all()


def test_order_of_the_document_is_painted(tmp_path):
    annotations = [thing(category_id=2, image_id=1), thing(), thing(category_id=2), thing(image_id=1)]
    report = convert(
        ConvertConfig(export(tmp_path / "e", *annotations, images=pictures("a.jpg", "b.jpg")), tmp_path / "d")
    )
    assert report.classes.names == ("background", "car", "bus")
    for name, value in (("a", 2), ("b", 1)):
        (path,) = (tmp_path / "d").glob(f"*/Labels/{name}.png")
        assert (np.asarray(Image.open(path)) == RECTANGLE * value).all()


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (thing([], keypoints=[1, 1, 2], num_keypoints=1, bbox=[1, 1, 5, 5]), "keypoints"),
        (thing([[1, 1, 5, 5]]), "objects of fewer than 3 points"),
        (thing([]), "annotations without outline"),
    ],
)
def test_what_has_no_area_is_counted(tmp_path, annotation, reason):
    (image,) = images(export(tmp_path, thing(), annotation))
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


ROBOFLOW = {"id": 0, "name": "facades", "supercategory": "none"}


@pytest.mark.parametrize(
    ("categories", "category_id", "expected"),
    [
        ([ROBOFLOW, {"id": 1, "name": "door", "supercategory": "facades"}], 1, ["door"]),
        ([ROBOFLOW, {"id": 1, "name": "facades", "supercategory": "facades"}], 1, ["facades"]),
        ([ROBOFLOW | {"name": "wall"}, {"id": 3, "name": "wall", "supercategory": "facades"}], 3, ["wall"]),
        ([ROBOFLOW, {"id": 1, "name": "door", "supercategory": "facades"}], 0, ["facades", "door"]),
        ([{"id": 0, "name": "car", "supercategory": "car"}, {"id": 1, "name": "bus"}], 1, ["car", "bus"]),
        ([{"id": 0, "name": "car"}, {"id": 1, "name": "bus", "supercategory": "none"}], 1, ["car", "bus"]),
        ([{"id": 7, "name": " b "}, {"id": 3, "name": "a", "supercategory": "b"}], 7, ["a", "b"]),
    ],
)
def test_classes_are_the_categories_but_a_dummy(tmp_path, categories, category_id, expected):
    folder = export(tmp_path, thing(category_id=category_id), categories=categories)
    _, annotations = read_annotations(open_export(folder))
    assert [entry.name for entry in annotations.classes] == expected
    (image,) = annotations.images()
    assert image.shapes[0].label in expected
    assert not image.problems


@pytest.mark.parametrize(
    ("color", "expected"), [([1, 2, 3], (1, 2, 3)), ("#0a0b0c", (10, 11, 12)), ("red", None), (7, None)]
)
def test_colors_are_kept(tmp_path, color, expected):
    _, annotations = read_annotations(
        open_export(export(tmp_path, categories=[{"id": 1, "name": "car", "color": color}]))
    )
    assert annotations.classes[0].color == expected


@pytest.mark.parametrize(
    ("file", "at", "name", "subset"),
    [
        ("training/annotations/instances_val.json", "training/val2017/a.jpg", "a.jpg", "val"),
        ("annotations/instances_default.json", "images/a.jpg", "a.jpg", ""),
        ("annotations/instances_train.json", "images/train/a.jpg", "a.jpg", "train"),
        ("annotations/instances_val2017.json", "val2017/a.jpg", "a.jpg", "val"),
        ("annotations/val.json", "val/a.jpg", "a.jpg", "val"),
        ("train_coco.json", "images/a.jpg", "a.jpg", "train"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg", "val"),
        ("all.json", "images/test/a.jpg", "images/test/a.jpg", "test"),
        ("val.json", "train/a.jpg", "train/a.jpg", "val"),
        ("result.json", "images/a.jpg", "..\\..\\media\\upload\\1\\a.jpg", ""),
        ("result.json", "images/ü [1], b.jpg", "/home/me/ü [1], b.jpg", ""),
    ],
)
def test_picture_and_subset_are_found(tmp_path, file, at, name, subset):
    export_of = open_export(export(tmp_path, thing(), images=pictures(name), file=file, at=[at]))
    (image,) = read_annotations(export_of)[1].images()
    assert image.subset == subset
    assert (image.picture or export_of.pictures.find(image.name, image.subset, image.file)) == at


def test_pictures_of_one_name_in_several_subsets_are_told_apart(tmp_path):
    for subset, category in (("train", 1), ("valid", 2)):
        file = f"{subset}/_annotations.coco.json"
        export(tmp_path / "e", thing(category_id=category), file=file, at=[f"{subset}/a.jpg"])
    report = convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert report.num_pictures == {"train": 1, "val": 1}
    for split, value in (("train", 1), ("val", 2)):
        (path,) = (tmp_path / "d" / split / "Labels").iterdir()
        assert (np.asarray(Image.open(path)) == RECTANGLE * value).all()


def test_size_may_be_missing_or_that_of_a_mask(tmp_path):
    unstated = pictures("a.jpg", "b.jpg", height=0, width=None)
    found = images(export(tmp_path, thing(), thing(compressed(RING), image_id=1), images=unstated))
    assert [image.size for image in found] == [None, (HEIGHT, WIDTH)]


def test_ids_may_be_words_or_floats(tmp_path):
    of_images = [{"id": "x", "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}]
    found = images(export(tmp_path, thing(image_id="x"), thing(image_id=3.0, category_id=1.0), images=of_images))
    assert [len(image.shapes) for image in found] == [1, 1]


def test_other_json_files_are_counted(tmp_path):
    export(tmp_path, thing())
    export(tmp_path, categories=[{"id": 1, "name": "person", "keypoints": ["nose"]}], file="annotations/person.json")
    panoptic = {"image_id": 0, "file_name": "a.png", "segments_info": []}
    export(tmp_path, panoptic, file="annotations/panoptic.json")
    (tmp_path / "annotations" / "captions.json").write_text('{"images": [], "annotations": []}')
    (image,) = images(tmp_path)
    assert sorted(image.skipped) == [
        "JSON files of COCO's keypoints", "JSON files of COCO's panoptic format", "JSON files that are not COCO's",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"images": pictures("a.jpg") * 2}, r"instances_default\.json: several images have the id 0"),
        ({"images": [*pictures("a.jpg"), {"file_name": "b.jpg"}]}, "entry 1 of 'images' has no id"),
        (
            {"images": [*pictures("a.jpg"), {"id": 9, "file_name": None}], "at": []},
            "the file_name of image 9 is missing",
        ),
        ({"images": [*pictures("a.jpg"), 7], "at": []}, "entry 1 of 'images' has no id"),
        ({"images": pictures("a.jpg", height=-4)}, "size is stated as 30 x -4"),
        ({"images": pictures("a.jpg", height="many")}, "number was expected"),
        ({"images": pictures("a.jpg", height=HEIGHT + 1)}, "annotated at 30 x 21"),
        ({"images": pictures("a.jpg"), "at": []}, r"a\.jpg: its picture is not there"),
        ({"categories": [*CLASSES, {"id": 1, "name": "van"}]}, "several categories have the id 1"),
        ({"categories": [*CLASSES, {"id": 3, "name": "car "}]}, "several categories of the name 'car'"),
        ({"categories": [{"id": 1}]}, "the name of category 1 is missing"),
        ({"categories": [{"name": "car"}]}, "a category has no id"),
        ({"categories": 7}, "list of categories is the number 7"),
    ],
)
def test_broken_files_are_told(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", thing(), **keys), tmp_path / "d"))


def rle(counts, size=(HEIGHT, WIDTH)):
    return thing({"size": list(size), "counts": counts})


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (thing(image_id=9), "annotation 5 is of image 9, which is not in 'images'"),
        (thing(image_id=None), "entry 1 of 'annotations' has no image_id"),
        (thing(image_id=[0]), "entry 1 of 'annotations' has no image_id"),
        ("an annotation", "entry 1 of 'annotations' has no image_id"),
        (thing(category_id=9), "annotation 5: its category 9 is not in 'categories'"),
        (thing(category_id={}), "annotation 5: its category {} is not"),
        (thing([[float("nan"), 1, 2, 2, 3, 1]]), r"annotation 5: the point \(nan, 1\)"),
        (thing([[1e12, 1, 2, 2, 3, 1]]), "no position in a picture"),
        (thing([[10**400, 1, 2, 2, 3, 1]]), "not all numbers"),
        (thing([[1, 1, 2, 2, 3]]), "not pairs of x and y"),
        (thing([BOX, 7]), "an outline is the number 7"),
        (thing([{"x": 1}]), "not all numbers"),
        (thing("none"), "its segmentation is the text 'none'"),
        (thing([], bbox=[1, 2, 3]), "its box is of 3 numbers"),
        (thing([], bbox=[1, 2, 3, None]), "number was expected"),
        (thing([], bbox=[1, 2, 3, 4], attributes={"rotation": "left"}), "number was expected"),
        (rle([0, 10]), "add up to 10 pixels, but its box of 30 x 20 has 600"),
        (rle([-1, 601]), "numbers from 0 up"),
        (rle([1.5, 598.5]), "not all whole numbers"),
        (rle([float("inf")]), "not all whole numbers"),
        (rle(None), "numbers from 0 up"),
        (rle({}), "its counts is an object"),
        (rle(""), "no compressed RLE"),
        (rle("é"), "no compressed RLE"),
        (rle("oooooooooooo0"), "no compressed RLE"),
        (rle("5"), "add up to 5 pixels"),
        (rle([600], (WIDTH, HEIGHT)), "its mask has 20 x 30 pixels, its picture 30 x 20"),
        (rle([600], ()), "not of 2 numbers"),
        (rle([600], (1e12, 1e12)), "no position in a picture"),
    ],
)
def test_broken_annotations_are_told(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", thing(), broken), tmp_path / "d"))


def test_huge_masks_are_refused_where_no_size_is_stated(tmp_path):
    unstated = [{"id": 0, "file_name": "a.jpg"}]
    (image,) = images(export(tmp_path, rle([10**11], (10**5, 10**6 - 1)), images=unstated))
    assert len(image.problems) == 1
    assert image.size is None


def test_a_file_cut_short_is_told_beside_others(tmp_path):
    export(tmp_path / "e", thing(category_id=9), file="train/_annotations.coco.json", at=["train/a.jpg"])
    (tmp_path / "e" / "valid").mkdir()
    (tmp_path / "e" / "valid" / "_annotations.coco.json").write_text('{"images": [{"id": 1')
    with pytest.raises(UserError, match=r"valid/_annotations\.coco\.json in .* is not readable JSON") as error:
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("SakibAhmedShuva+CVAT-Segmentation-to-YOLOv8-Converter", {"polygon": 29}),
        ("cvat-ai+datumaro/tests/assets/coco_dataset/coco_instances", {"box": 1, "polygon": 1, "mask": 1}),
        ("cvat-ai+datumaro/tests/assets/coco_dataset/coco_stuff", {"mask": 2}),
    ],
)
def test_real_files_are_read(shared_data, path, kinds):
    found = images(shared_data / "annotation-samples/coco" / path)
    assert Counter(shape.kind for image in found for shape in image.shapes) == Counter(kinds)
    assert not any(image.problems for image in found)


def test_real_panoptic_files_are_refused(shared_data):
    folder = shared_data / "annotation-samples/coco/cvat-ai+datumaro/tests/assets/coco_dataset/coco_panoptic"
    with pytest.raises(UserError, match="COCO's panoptic format"):
        read_annotations(open_export(folder))


def test_parts_without_area_are_counted(tmp_path):
    (image,) = images(export(tmp_path, thing([BOX, [1, 1, 2, 2], []]), thing([[1, 1, 2, 2]])))
    assert len(image.shapes) == 1
    assert image.skipped == {"parts of fewer than 3 points": 2, "objects of fewer than 3 points": 1}


def test_masks_beyond_the_memory_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("segtune.annotations.image_builder.MAX_RUNS", 100)
    (image,) = images(export(tmp_path, *[thing(uncompressed(RING))] * 20))
    assert image.problems
    assert "masks of its picture have more than 100 runs" in image.problems[0]

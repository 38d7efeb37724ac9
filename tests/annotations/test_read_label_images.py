"""Label images of all layouts: CVAT's and PASCAL VOC's, CamVid, Cityscapes, ADE20K, plain folders."""

import json

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import detect_format, read_annotations
from segtune.annotations.read_label_images import VOC_NAMES, voc_color
from segtune.classes import class_table, read_classes, write_classes
from segtune.config import ConvertConfig
from segtune.errors import UserError

VALUES = np.zeros((20, 30), np.uint8)
VALUES[2:8, 2:12] = 1
VALUES[10:15, 20:28] = 2
COLORS = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar: red:200,0,0::\nsky:0,0,200::\n"


def write(folder, files):
    """Write texts, label images (arrays or Pillow pictures) and pictures (None)."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("RGB", (30, 20), (len(name), 60, 60)).save(path)
        elif isinstance(content, str):
            path.write_text(content)
        else:
            (Image.fromarray(content) if isinstance(content, np.ndarray) else content).save(path)
    return folder


def palette(values, colors):
    picture = Image.fromarray(values)
    picture.putpalette(np.array(colors, np.uint8).ravel().tolist())
    return picture


def pairs(pictures, masks, mask=VALUES):
    """Pictures a, b, c and their masks; the names have {} for the stem."""
    return {**{pictures.format(stem): None for stem in "abc"}, **{masks.format(stem): mask for stem in "abc"}}


CVAT = "JPEGImages/{}.jpg", "SegmentationClass/{}.png"
CAMVID_COLORS = "0 0 0\tVoid\n200 0 0\tcar red\n0 0 200 sky\n"
CLASSES_YAML = (
    "classes: [{name: floor, color: [0, 0, 0]}, {name: car, color: [200, 0, 0]}, {name: sky, color: [0, 0, 200]}]"
)

LAYOUTS = {
    "CVAT, colours": (
        "segmentation-mask",
        {**pairs(*CVAT, COLORS[VALUES]), "labelmap.txt": LABELMAP},
        ["background", "car: red", "sky"],
    ),
    "CVAT, palette": (
        "segmentation-mask",
        {**pairs(*CVAT, palette(VALUES, COLORS)), "labelmap.txt": LABELMAP},
        ["background", "car: red", "sky"],
    ),
    "CVAT, palette in another order": (
        "segmentation-mask",
        {**pairs(*CVAT, palette(np.array([2, 0, 1], np.uint8)[VALUES], COLORS[[1, 2, 0]])), "labelmap.txt": LABELMAP},
        ["background", "car: red", "sky"],
    ),
    "CVAT, values": (
        "segmentation-mask",
        {**pairs(*CVAT), "labelmap.txt": LABELMAP},
        ["background", "car: red", "sky"],
    ),
    "CVAT, no table": ("segmentation-mask", pairs(*CVAT), ["class_0", "class_1", "class_2"]),
    "VOC": (
        "segmentation-mask",
        pairs(*CVAT, palette(VALUES, [voc_color(index) for index in range(256)])),
        list(VOC_NAMES),
    ),
    "VOC, colours": (
        "segmentation-mask",
        pairs(*CVAT, np.array([voc_color(index) for index in range(3)], np.uint8)[VALUES]),
        list(VOC_NAMES),
    ),
    "CamVid": (
        "camvid",
        {**pairs("train/{}.png", "trainannot/{}.png", COLORS[VALUES]), "label_colors.txt": CAMVID_COLORS},
        ["car red", "sky"],
    ),
    "CamVid, as published": (
        "camvid",
        {**pairs("701_StillsRaw/{}.png", "Labels/{}_L.png", COLORS[VALUES]), "label_colors.txt": CAMVID_COLORS},
        ["car red", "sky"],
    ),
    "SegNet's CamVid": (
        "camvid",
        pairs("train/{}.png", "trainannot/{}.png", np.where(VALUES == 2, 11, VALUES).astype(np.uint8)),
        ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"],
    ),
    "CVAT's Cityscapes": (
        "cityscapes",
        {
            **pairs("imgsFine/leftImg8bit/train/{}_leftImg8bit.png", "gtFine/train/{}_gtFine_labelIds.png"),
            "label_colors.txt": "0 0 0 background\n200 0 0 car\n0 0 200 sky\n",
        },
        ["background", "car", "sky"],
    ),
    "Cityscapes, train ids": (
        "cityscapes",
        pairs("leftImg8bit/train/bonn/{}_leftImg8bit.png", "gtFine/train/bonn/{}_gtFine_labelTrainIds.png"),
        ["road", "sidewalk", "building", "wall"],
    ),
    "Cityscapes, ids": (
        "cityscapes",
        pairs(
            "leftImg8bit/train/bonn/{}_leftImg8bit.png", "gtFine/train/bonn/{}_gtFine_labelIds.png",
            np.array([7, 8, 11], np.uint8)[VALUES],
        ),
        ["road", "sidewalk", "building", "wall"],
    ),
    "Cityscapes, objects": (
        "cityscapes",
        pairs(
            "leftImg8bit/train/bonn/{}_leftImg8bit.png", "gtFine/train/bonn/{}_gtFine_instanceIds.png",
            np.array([7, 8000, 11003], np.uint16)[VALUES],
        ),
        ["road", "sidewalk", "building", "wall"],
    ),
    "ADE20K, scene parsing": (
        "ade20k",
        pairs("images/training/ADE_train_{}.jpg", "annotations/training/ADE_train_{}.png", VALUES + 1),
        ["class_1", "class_2", "class_3"],
    ),
    "classes.yaml": (
        "mask-folder",
        {**pairs("images/{}.jpg", "masks/{}.png", COLORS[VALUES]), "classes.yaml": CLASSES_YAML},
        ["floor", "car", "sky"],
    ),
    "names in a classes.yaml": (
        "mask-folder",
        {**pairs("images/{}.jpg", "masks/{}.png"), "classes.yaml": "names: [floor, car, sky]"},
        ["floor", "car", "sky"],
    ),
    "Roboflow": (
        "mask-folder",
        {
            **pairs("train/{}_jpg.rf.0a1b.jpg", "train/{}_jpg.rf.0a1b_mask.png"),
            "train/_classes.csv": "Pixel Value, Class\n0, background\n1, car, red\n2, sky",
        },
        ["background", "car", "sky"],
    ),
    "class_dict.csv": (
        "mask-folder",
        {
            **pairs("x/{}.png", "x_labels/{}_L.png", COLORS[VALUES]),
            "class_dict.csv": "name,r,g,b\nfloor,0,0,0\ncar,200,0,0\nsky,0,0,200\n",
        },
        ["floor", "car", "sky"],
    ),
    "id2label.json": (
        "mask-folder",
        {**pairs("image/{}.png", "label/{}.png"), "id2label.json": json.dumps({"0": "floor", "1": "car", "2": "sky"})},
        ["floor", "car", "sky"],
    ),
    "names in a text": (
        "mask-folder",
        {**pairs("images/train/{}.jpg", "masks/train/{}.png"), "classes.txt": "floor\ncar\nsky\n"},
        ["floor", "car", "sky"],
    ),
    "no table": ("mask-folder", pairs("Images/{}.jpg", "Labels/{}.png"), ["class_0", "class_1", "class_2"]),
    "16 bits": (
        "mask-folder",
        pairs("img/{}.tif", "gt/{}.png", VALUES.astype(np.uint16)),
        ["class_0", "class_1", "class_2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_label_images_come_out_as_they_were(tmp_path, layout):
    name, files, classes = LAYOUTS[layout]
    source = write(tmp_path / "e", files)
    assert detect_format(open_export(source).source) == name
    report = convert(ConvertConfig(source, tmp_path / "d"))
    names = list(report.classes.names)
    assert names[: len(classes)] == classes
    assert len(names) == (19 if classes[0] == "road" else len(classes))
    labels = [np.array(Image.open(path)) for path in (tmp_path / "d").glob("*/Labels/*.png")]
    assert len(labels) == 3
    expected = {
        "CamVid": np.array([255, 0, 1], np.uint8)[VALUES],
        "CamVid, as published": np.array([255, 0, 1], np.uint8)[VALUES],
        "SegNet's CamVid": np.array([0, 1, 255], np.uint8)[VALUES],
    }.get(layout, VALUES)
    assert all((array == expected).all() for array in labels)


def test_of_two_pictures_of_a_mask_none_is_guessed(tmp_path):
    source = write(tmp_path / "e", {**LAYOUTS["CVAT, colours"][1], "JPEGImages/a.png": None})
    with pytest.raises(UserError, match=r"could be any of JPEGImages/a\.jpg, JPEGImages/a\.png"):
        convert(ConvertConfig(source, tmp_path / "d"))


@pytest.mark.parametrize("layout", ["CVAT, colours", "classes.yaml"])
def test_colours_of_the_table_are_kept(tmp_path, layout):
    source = write(tmp_path / "e", LAYOUTS[layout][1])
    convert(ConvertConfig(source, tmp_path / "d"))
    assert [list(color) for color in read_classes(tmp_path / "d" / "classes.yaml").colors] == COLORS.tolist()


def test_a_dataset_folder_comes_back_as_it_was(tmp_path):
    files = {**pairs("train/Images/{}.jpg", "train/Labels/{}.png"), **pairs("val/Images/{}1.jpg", "val/Labels/{}1.png")}
    source = write(tmp_path / "e", files)
    write_classes(source / "classes.yaml", class_table(["sky", "road", "car"], ignore_value=11))
    report = convert(ConvertConfig(source, tmp_path / "d"))
    assert report.classes.names == ("sky", "road", "car")
    assert report.num_pictures == {"train": 3, "val": 3}
    for path in (source / "train" / "Labels").iterdir():
        copy = np.asarray(Image.open(tmp_path / "d" / "train" / "Labels" / path.name))
        assert (copy == np.asarray(Image.open(path))).all()


def test_subsets_of_lists_are_kept_and_pictures_without_mask_are_counted(tmp_path):
    files = {
        **pairs(*CVAT),
        "JPEGImages/empty.jpg": None,
        "ImageSets/Segmentation/train.txt": "a\nempty\n",
        "ImageSets/Segmentation/val.txt": "b\n",
        "ImageSets/Segmentation/test.txt": "c\n",
        "ImageSets/Segmentation/trainval.txt": "a\nb\n",
    }
    report = convert(ConvertConfig(write(tmp_path / "e", files), tmp_path / "d"))
    assert report.num_pictures == {"train": 1, "val": 1, "test": 1}
    assert report.skipped == {"pictures without objects (--empty background takes them as background)": 1}


def test_binary_masks_are_background_and_object(tmp_path):
    mask = np.where(VALUES == 1, 255, 0).astype(np.uint8)
    source = write(tmp_path / "e", pairs("images/{}.jpg", "masks/{}.png", mask))
    assert convert(ConvertConfig(source, tmp_path / "d")).classes.names == ("background", "object")
    labels = np.array(Image.open(next((tmp_path / "d").glob("*/Labels/a.png"))))
    assert (labels == (VALUES == 1)).all()


def test_255_beside_other_values_never_counts(tmp_path):
    mask = np.where(VALUES == 2, 255, VALUES).astype(np.uint8)
    source = write(tmp_path / "e", pairs("images/{}.jpg", "masks/{}.png", mask))
    report = convert(ConvertConfig(source, tmp_path / "d"))
    assert report.classes.names == ("class_0", "class_1")
    assert report.pixels[255] == 3 * 40


def test_palettes_mean_their_colours_also_beside_255(tmp_path):
    indices = VALUES.copy()
    indices[0, :5] = 255
    colors = np.full((256, 3), 224, np.uint8)
    colors[:3] = COLORS[[1, 0, 2]]
    files = {**pairs(*CVAT, palette(indices, colors)), "labelmap.txt": LABELMAP}
    convert(ConvertConfig(write(tmp_path / "e", files), tmp_path / "d"))
    expected = np.array([1, 0, 2], np.uint8)[VALUES]
    expected[0, :5] = 255
    assert (np.asarray(Image.open(next((tmp_path / "d").glob("*/Labels/a.png")))) == expected).all()


def test_names_can_be_given_for_values(tmp_path):
    source = write(tmp_path / "e", pairs("images/{}.jpg", "masks/{}.png"))
    report = convert(ConvertConfig(source, tmp_path / "d", classes="floor,car,sky"))
    assert report.classes.names == ("floor", "car", "sky")


RNG = np.random.default_rng(0)
SMEARED = np.clip(COLORS[VALUES].astype(int) + RNG.integers(-9, 10, (20, 30, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("mask", "files", "message"),
    [
        (COLORS[VALUES], {}, r"coloured, and no file says .*\(0, 0, 0\) 8\d\.\d%.*\n.*classes.yaml"),
        (VALUES * 100, {"classes.txt": "a\nb\nc"}, r"holds 100 \(60 pixels, the first at x 2, y 2\), 200"),
        (SMEARED, {"classes.yaml": CLASSES_YAML}, "close to known colours"),
        (
            np.full((20, 30, 3), 77, np.uint8), {"classes.yaml": CLASSES_YAML},
            r"\(77, 77, 77\) \(600 pixels, the first at x 0",
        ),
        (RNG.integers(0, 256, (20, 30), np.uint8), {"classes.txt": "a\nb"}, "grey levels"),
        (VALUES, {"classes.yaml": "names: ["}, "no list of classes that can be read"),
        (VALUES, {"classes.yaml": "a: &a [x]\nb: [*a, *a]"}, "aliases"),
        (VALUES, {"classes.yaml": "[&a [x], &b [*a, *a]]"}, "aliases"),
        (VALUES, {"label_colors.txt": "1 2 x\n"}, "no list of classes that can be read"),
        (VALUES, {"labelmap.txt": "a:1,1,1::\nb:1,1,1::\n"}, "same colour"),
        (
            VALUES, {"one/classes.txt": "a\nb\nc", "two/classes.txt": "b\na\nc"},
            "class files that differ: one/classes.txt, two/classes.txt",
        ),
        (np.zeros((9, 9), np.uint8), {"classes.txt": "a\nb"}, "annotated at 9 x 9 pixels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path, mask, files, message):
    source = write(tmp_path / "e", {**pairs("images/{}.jpg", "masks/{}.png", mask), **files})
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d"))


@pytest.mark.parametrize("folders", [("image_2", "image_3"), ("images", "rgb"), ("left", "right")])
def test_a_mask_of_which_camera_is_asked(tmp_path, folders):
    one, two = folders
    files = {**pairs(f"{one}/{{}}.jpg", "labels/{}.png"), **pairs(f"{two}/{{}}.jpg", "labels/{}.png")}
    with pytest.raises(UserError, match=rf"could be any of {one}/a\.jpg, {two}/a\.jpg"):
        convert(ConvertConfig(write(tmp_path / "e", files), tmp_path / "d"))


def test_broken_masks_are_told(tmp_path):
    source = write(tmp_path / "e", {**pairs("images/{}.jpg", "masks/{}.png"), "classes.txt": "a\nb\nc"})
    (source / "masks" / "a.png").write_bytes((source / "masks" / "b.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"masks/a\.png: .*(can't be decoded|not a picture)"):
        convert(ConvertConfig(source, tmp_path / "d"))


def test_palette_of_voc():
    assert [voc_color(index) for index in (0, 1, 2, 15, 20)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (0, 64, 128),
    ]  # fmt: skip


SAMPLES = {
    "ade20k/open-edge-platform+datumaro/tests/assets/ade20k2017_dataset": ("ade20k", {"sky", "person"}),
    "ade20k/open-edge-platform+datumaro/tests/assets/ade20k2020_dataset": ("ade20k", {"car", "person"}),
    "camvid/cvat-ai+datumaro/tests/assets/camvid_dataset": ("camvid", {"Road", "Sky", "Tree"}),
    "cityscapes/cvat-ai+datumaro/tests/assets/cityscapes_dataset/train_dataset": ("cityscapes", {"truck", "wall"}),
    "cityscapes/cvat-ai+datumaro/tests/assets/cityscapes_dataset/dataset": ("cityscapes", {"truck", "person"}),
    "voc-palette/cvat-ai+datumaro/tests/assets/voc_dataset/voc_dataset1": ("segmentation-mask", {"bicycle"}),
    "voc-palette/bubbliiiing+segmentation-format-fix": ("segmentation-mask", {"class_0", "class_1"}),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_real_samples_are_read(shared_data, sample):
    expected, labels = SAMPLES[sample]
    name, annotations = read_annotations(open_export(shared_data / "annotation-samples" / sample))
    images = list(annotations.images())
    assert name == expected
    assert labels <= {shape.label for image in images for shape in image.shapes}
    assert not [problem for image in images for problem in image.problems]

"""Pre-annotations: predictions that go to an annotation tool and come back."""

import json
import shutil
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segtune.annotations.annotated_image import Runs
from segtune.annotations.convert import convert
from segtune.annotations.painter import paint
from segtune.annotations.write_cvat import cvat_file
from segtune.classes import IGNORE, ClassTable, class_table
from segtune.cli import main
from segtune.config import ConvertConfig, PreannotationOptions, PredictConfig, TrainConfig
from segtune.errors import UserError
from segtune.model_file import load_model, save_model
from segtune.pictures import read_labels
from segtune.prediction.polygons import connected_areas
from segtune.prediction.preannotation import find_areas, label_colors, preannotate
from segtune.prediction.predict import predict
from segtune.prediction.predictor import Prediction, load

RING = ["111111", "100001", "102201", "102201", "100001", "111111"]
BEHIND = ["111111", "122221", "121121", "121121", "122221", "111111"]


def prediction(rows: list[str], names: list[str], scale: int = 6, background: str = "") -> Prediction:
    ids = np.kron(
        np.array([[int(value) for value in row] for row in rows], np.uint8), np.ones((scale, scale), np.uint8)
    )
    table = replace(class_table(names), background=background)
    return Prediction(ids, np.full(ids.shape, 0.9, np.float32), table)


def painted(of: Prediction, options: PreannotationOptions) -> np.ndarray:
    image = preannotate("x.png", of, options)
    ids = {name: index for index, name in enumerate(of.classes.names)}
    return paint(image.shapes, image.size, ids, IGNORE, None, "center").labels


@pytest.mark.parametrize("rows", [RING, BEHIND], ids=["ring", "behind"])
@pytest.mark.parametrize("shapes", ["mask", "polygon"])
@pytest.mark.parametrize("background", ["", "class"])
def test_holes_stay_holes(rows, shapes, background):
    of = prediction(rows, ["ground", "wall", "box"], background=background)
    expected = np.where((of.class_ids == 0) & (background == "class"), IGNORE, of.class_ids)
    assert (painted(of, PreannotationOptions(shapes=shapes)) == expected).all()


def test_what_lies_in_a_hole_is_drawn_on_top_of_an_outline_without_cuts():
    image = preannotate("x.png", prediction(BEHIND, ["a", "b", "c"]), PreannotationOptions(shapes="polygon"))
    assert [(shape.label, shape.z_order, len(shape.geometry.outlines[0])) for shape in image.shapes] == [
        ("b", 0, 4), ("c", 1, 4), ("b", 2, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("shapes", ["mask", "polygon"])
def test_uncertain_areas_are_left_to_the_person(shapes):
    of = prediction(RING, ["ground", "wall", "box"])
    of.confidence[of.class_ids == 2] = 0.3
    labels = painted(of, PreannotationOptions(shapes=shapes, min_confidence=0.5))
    assert (labels == np.where(of.class_ids == 2, IGNORE, of.class_ids)).all()


@pytest.mark.parametrize(("shapes", "min_area", "expected"), [
    ("mask", "auto", 3), ("polygon", "auto", 2), ("polygon", 1, 3), ("mask", 5, 2),
])  # fmt: skip
def test_small_areas_are_left_out(shapes, min_area, expected):
    of = prediction(["111111", "111111", "112111", "333333", "333333"], ["x", "a", "b", "c"], scale=2)
    image = preannotate("x.png", of, PreannotationOptions(shapes=shapes, min_area=min_area))
    assert len(image.shapes) == expected


SPECKS = ["111133", "121153", "111133", "144133", "000000", "006000"]
FILLED = ["111133", "111133", "111133", "111133", "000000", "000000"]


@pytest.mark.parametrize("shapes", ["mask", "polygon"])
def test_small_areas_go_to_what_is_around_them(shapes):
    """Also where the background is, which is not drawn, and where two meet."""
    names = ["void", "a", "b", "c", "d", "e", "f"]
    of = prediction(SPECKS, names, scale=2, background="class")
    expected = prediction(FILLED, names, scale=2).class_ids
    labels = painted(of, PreannotationOptions(shapes=shapes, min_area=9))
    assert (labels[expected == 0] == IGNORE).all()
    # The specks between two or three of them may go to each.
    is_between = np.isin(of.class_ids, (4, 5))
    assert (labels == np.where(expected == 0, IGNORE, expected))[~is_between].all()
    assert set(labels[is_between].tolist()) <= {1, 3, IGNORE}
    whole = painted(of, PreannotationOptions(shapes=shapes, min_area=1))
    assert (whole == np.where(of.class_ids == 0, IGNORE, of.class_ids)).all()


@pytest.mark.parametrize("shapes", ["mask", "polygon"])
def test_small_areas_leave_what_is_uncertain_to_the_person(shapes):
    of = prediction(SPECKS, ["void", "a", "b", "c", "d", "e", "f"], scale=2)
    of.confidence[of.class_ids == 2] = 0.3
    labels = painted(of, PreannotationOptions(shapes=shapes, min_area=9, min_confidence=0.5))
    assert (labels == IGNORE).tolist() == (of.class_ids == 2).tolist()


def test_areas_that_grow_stay_connected():
    noise = np.random.default_rng(0).integers(0, 4, (60, 70), dtype=np.uint8)
    noise[:, 20:26] = 1
    of = Prediction(noise, np.ones(noise.shape, np.float32), class_table(["a", "b", "c", "d"]))
    areas = find_areas(of, PreannotationOptions(min_area=30), "mask")
    assert sum(area.num_pixels for area in areas) == noise.size
    for area in areas:
        (whole,) = connected_areas(area.mask.pixels)
        assert whole[3] == area.num_pixels >= 30


def test_nothing_is_drawn_where_everything_is_too_small():
    of = prediction(["01", "10"], ["a", "b"], scale=2)
    assert preannotate("x.png", of, PreannotationOptions(min_area=5)).shapes == []


def comb() -> np.ndarray:
    """Teeth of a row each: as one outline it is refused when it is read."""
    ids = np.zeros((1200, 2400), np.uint8)
    ids[::2], ids[:, 0] = 1, 1
    return ids


def leaves() -> np.ndarray:
    """Two thousand holes in one area."""
    noise = np.random.default_rng(0).standard_normal((360, 480))
    return (cv2.GaussianBlur(noise, (0, 0), 1) > -0.08).astype(np.uint8)


@pytest.mark.parametrize(("ids", "at_least"), [(comb(), 1), (leaves(), 0.98)], ids=["comb", "leaves"])
def test_what_is_too_much_for_one_outline_becomes_several(ids, at_least):
    table = replace(class_table(["void", "a"]), background="class")
    of = Prediction(ids, np.ones(ids.shape, np.float32), table)
    options = PreannotationOptions(shapes="polygon", min_area=1)
    drawn, areas = preannotate("x.png", of, options).shapes, list(connected_areas(ids == 1))
    assert len(areas) < len(drawn) < len(areas) + 50
    assert iou(painted(of, options) == 1, ids == 1) >= at_least


def iou(found: np.ndarray, expected: np.ndarray) -> float:
    return float((found & expected).sum() / (found | expected).sum())


@pytest.mark.parametrize(("names", "background", "left_out"), [
    (["void", "a"], "class", "void"), (["a", "Background"], "", None), (["a", "b"], "", None),
    (["a", "b"], "ignore", None), (["Background", "a"], "", "Background"), (["background", "a"], "ignore", None),
    (["background", "a"], "error", None), (["a", "background"], "class", "a"),
])  # fmt: skip
def test_the_background_is_no_label(names, background, left_out):
    table = replace(class_table(names), background=background)
    assert list(label_colors(table, PreannotationOptions())) == [name for name in names if name != left_out]
    assert list(label_colors(table, PreannotationOptions(with_background=True))) == names


def test_file_is_what_cvat_reads(tmp_path):
    odd = '<a> & "b" \u00fc'
    of = prediction(RING, ["ground", odd, "box"], background="class")
    with cvat_file(tmp_path / "x.zip", label_colors(of.classes, PreannotationOptions())) as add:
        add(preannotate("day 1/ü's <&>.jpg", of, PreannotationOptions()))
    from xml.etree import ElementTree

    root = ElementTree.fromstring(zipfile.ZipFile(tmp_path / "x.zip").read("annotations.xml"))
    assert [label.findtext("name") for label in root.iterfind("./meta/task/labels/label")] == [odd, "box"]
    (image,) = root.iterfind("image")
    assert dict(image.attrib) == {"id": str(10**9), "name": "day 1/ü's <&>.jpg", "width": "36", "height": "36"}
    wall, box = image
    assert {key: box.get(key) for key in ("left", "top", "width", "height", "rle", "occluded", "z_order")} == {
        "left": "12", "top": "12", "width": "12", "height": "12", "rle": "0, 144", "occluded": "0", "z_order": "0",
    }  # fmt: skip
    assert wall.get("label") == odd


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (60, 60), dtype=np.uint8)
    image = preannotate("x.png", Prediction(noise, np.ones((60, 60), np.float32), class_table(["a", "b", "c"])),
                        PreannotationOptions())  # fmt: skip
    peaks = []
    for count in (4, 40):
        with cvat_file(tmp_path / f"{count}.zip", {"a": (0, 0, 0)}) as add:
            tracemalloc.start()
            for _ in range(count):
                add(image)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


@pytest.fixture(scope="module")
def camvid_model(shared_data, tmp_path_factory) -> Path:
    """A real model of CamVid, trained for a minute's share of it."""
    from segtune.training.train import train

    folder = tmp_path_factory.mktemp("camvid")
    for split, count in (("train", 16), ("val", 4)):
        for kind in ("Images", "Labels"):
            (folder / "data" / split / kind).mkdir(parents=True)
        for picture in sorted((shared_data / "camvid" / split / "Images").iterdir())[:: 360 // count // 4][:count]:
            shutil.copy(picture, folder / "data" / split / "Images")
            shutil.copy(shared_data / "camvid" / split / "Labels" / f"{picture.stem}.png",
                        folder / "data" / split / "Labels")  # fmt: skip
    config = TrainConfig(
        folder / "data", folder / "run", num_classes=11, ignore_value=11, crop=128, batch_size=4, epochs=12,
        validate_every=12, model="deeplabv3plus:efficientnet_lite0", report_to="none", num_workers=0,
    )  # fmt: skip
    return train(config).model


def test_round_trip_of_real_predictions(camvid_model, shared_data, tmp_path):
    """Masks come back to the pixel; of polygons each class's objects above 100 pixels do by an IoU of 0.99."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for picture in sorted((shared_data / "camvid" / "val" / "Images").iterdir())[::40]:
        shutil.copy(picture, pictures)
    kinds = "labels,cvat,labelme,polygons"
    predict(PredictConfig(camvid_model, pictures, tmp_path / "o", save=kinds, backend="eager"))
    predict(PredictConfig(camvid_model, pictures, tmp_path / "p", save="cvat", shapes="polygon", backend="eager"))
    table = load(camvid_model, backend="eager").model.classes
    sources = {
        "mask": tmp_path / "o" / "cvat.zip", "polygon": tmp_path / "p" / "cvat.zip",
        "labelme": tmp_path / "o" / "labelme.zip", "coco": tmp_path / "o" / "polygons.json",
    }  # fmt: skip
    for kind, source in sources.items():
        options = {"background": "ignore", "classes": ",".join(table.names), "images": pictures}
        convert(ConvertConfig(source, tmp_path / kind, **options))
        pairs = [
            (read_labels(tmp_path / "o" / "labels" / path.name), read_labels(path))
            for path in sorted((tmp_path / kind).glob("*/Labels/*.png"))
        ]
        assert len(pairs) == len(list(pictures.iterdir()))
        if kind == "mask":
            assert all((labels == back).all() for labels, back in pairs)
        else:
            assert min(ious_of_large_objects(pairs, table)) >= 0.99


def ious_of_large_objects(pairs: list[tuple[np.ndarray, np.ndarray]], table: ClassTable) -> list[float]:
    """IoU of each class, over the pixels of objects above 100 pixels."""
    shared, union = np.zeros(table.num_classes), np.zeros(table.num_classes)
    for labels, back in pairs:
        is_large = np.zeros(labels.shape, bool)
        for class_id in range(table.num_classes):
            for mask, left, top, num_pixels in connected_areas(labels == class_id):
                is_large[top:, left:][: mask.shape[0], : mask.shape[1]] |= mask & (num_pixels > 100)
        for class_id in range(table.num_classes):
            expected, found = (labels == class_id) & is_large, (back == class_id) & is_large
            shared[class_id] += (expected & found).sum()
            union[class_id] += (expected | found).sum()
    assert (union > 0).sum() >= 5
    return [float(value) for value in shared[union > 0] / union[union > 0]]


def test_files_for_cvat_are_written_beside_each_other(trained_run, tmp_path, capsys):
    pictures = trained_run.parent / "dataset" / "val" / "Images"
    command = ["predict", str(trained_run / "model.safetensors"), str(pictures), str(tmp_path), "--save", "cvat"]
    assert main(command) == 0
    assert "3 pictures: cvat.zip in" in capsys.readouterr().out
    labels = json.loads((tmp_path / "cvat_labels.json").read_text())
    assert [(label["name"], label["color"], label["type"]) for label in labels] == [
        ("floor", "#000000", "any"), ("wall", "#e6194b", "any"), ("box", "#ffe119", "any"),
    ]  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"cvat.zip", "cvat_labels.json"}
    assert main(command) == 2
    assert "already holds cvat.zip" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--shapes", "polygon", "--min-confidence", "0.5"]) == 0


@pytest.mark.parametrize("command", ["predict", "suggest"])
@pytest.mark.parametrize(
    ("names", "options", "is_told"),
    [
        (["background", "wall", "box"], ["--min-confidence", "0.6"], True),
        (["background", "wall", "box"], [], False),
        (["floor", "wall", "box"], ["--min-confidence", "0.6"], False),
    ],
)
def test_what_nobody_draws_is_told_to_become_background(
    trained_run, tmp_path, capsys, command, names, options, is_told
):
    model = replace(load_model(trained_run / "model.safetensors"), classes=class_table(names))
    save_model(tmp_path / "model.safetensors", model)
    pictures = trained_run.parent / "dataset" / "val" / "Images"
    kinds = ["--save", "cvat"] if command == "predict" else []
    assert (
        main([command, str(tmp_path / "model.safetensors"), str(pictures), str(tmp_path / "o"), *kinds, *options]) == 0
    )
    assert ("corrected export says background" in " ".join(capsys.readouterr().err.split())) == is_told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save": "cvat", "min_confidence": 2}, "min-confidence is 2"),
        ({"save": "cvat", "min_area": -1}, "min-area is -1"),
        ({"min_confidence": 0.5}, "--min-confidence would have no effect"),
    ],
)
def test_impossible_options_are_refused(trained_run, tmp_path, options, message):
    picture = trained_run.parent / "dataset" / "val" / "Images" / "100.jpg"
    with pytest.raises(UserError, match=message):
        predict(PredictConfig(trained_run / "model.safetensors", picture, tmp_path, **options))


def test_names_that_xml_cannot_hold_are_refused(trained_run, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a\x01b.png")
    config = PredictConfig(trained_run / "model.safetensors", tmp_path, tmp_path / "o", save="labelme")
    with pytest.raises(UserError, match=r"no XML file can.*\\x01"):
        predict(config)
    assert not (tmp_path / "o").exists()


def test_an_error_leaves_no_half_file(tmp_path):
    with pytest.raises(KeyError), cvat_file(tmp_path / "x.zip", {}):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_runs_go_along_the_rows():
    image = preannotate("x", prediction(["01"], ["a", "b"], scale=3), PreannotationOptions())
    assert all(isinstance(shape.geometry, Runs) and not shape.geometry.column_major for shape in image.shapes)

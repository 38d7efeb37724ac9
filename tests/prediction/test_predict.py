"""The command predict: what it writes, and what it refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segtune.cli import main
from segtune.config import PredictConfig
from segtune.errors import UserError
from segtune.pictures import open_picture, read_picture
from segtune.prediction.draw import overlay, panel
from segtune.prediction.predict import predict


@pytest.fixture
def pictures(tmp_path, trained_run):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = open_picture(trained_run.parent / "dataset" / "val" / "Images" / "100.jpg")
    picture.save(folder / "a [1], ü.jpg")
    picture.convert("L").resize((50, 31)).save(folder / "grey.PNG")
    picture.convert("RGBA").save(folder / "alpha.webp")
    (folder / "notes.txt").touch()
    return folder


def test_labels_segmentation_and_overlays_are_written_for_each(trained_run, pictures, tmp_path):
    report = predict(PredictConfig(trained_run / "model.safetensors", pictures, tmp_path / "o"))
    assert (report.num_pictures, report.unreadable) == (3, [])
    for kind, mode in (("labels", "P"), ("segmentation", "RGB"), ("overlays", "RGB")):
        made = {path.stem: open_picture(path) for path in (tmp_path / "o" / kind).iterdir()}
        assert {name: picture.size for name, picture in made.items()} == {
            "a [1], ü": (96, 72), "grey": (50, 31), "alpha": (96, 72),
        }  # fmt: skip
        assert {picture.mode for picture in made.values()} == {mode}


def test_label_values_are_class_ids_and_segmentation_their_colors(trained_run, pictures, tmp_path):
    predict(PredictConfig(trained_run / "model.safetensors", pictures / "grey.PNG", tmp_path / "o"))
    labels = open_picture(tmp_path / "o" / "labels" / "grey.png")
    assert set(np.unique(np.array(labels))) <= {0, 1, 2}
    assert (np.array(labels.convert("RGB")) == read_picture(tmp_path / "o" / "segmentation" / "grey.png")).all()


def test_unreadable_picture_is_told_and_the_others_are_done(trained_run, pictures, tmp_path):
    (pictures / "broken.jpg").write_bytes(b"no picture")
    report = predict(PredictConfig(trained_run / "model.safetensors", pictures, tmp_path / "o"))
    assert report.num_pictures == 3
    assert "broken.jpg" in report.unreadable[0]


@pytest.mark.parametrize(
    ("second", "is_told"),
    [((96, 72), True), ((60, 80), True), ((48, 36), False)],
    ids=["a page", "another page", "a preview"],
)
def test_of_a_file_with_several_pictures_the_first_is_predicted_and_that_is_told(
    trained_run, tmp_path, second, is_told
):
    page = Image.new("RGB", (96, 72), (200, 60, 40))
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page.resize(second)])
    report = predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "scan.tif", tmp_path / "o"))
    assert report.num_pictures == 1
    assert [f"{tmp_path}/scan.tif holds 2 pictures: the first was predicted"] * is_told == list(report.notes)


def test_a_picture_that_can_not_be_read_makes_the_exit_code_1(trained_run, pictures, tmp_path, capsys):
    (pictures / "broken.jpg").write_bytes(b"broken")
    assert main(["predict", str(trained_run / "model.safetensors"), str(pictures), str(tmp_path / "o")]) == 1
    assert "broken.jpg" in capsys.readouterr().err
    assert (tmp_path / "o" / "labels" / "grey.png").exists()


def test_names_that_are_too_long_are_told_before_the_work(trained_run, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / f"{'x' * 250}.png")
    config = PredictConfig(trained_run / "model.safetensors", tmp_path, tmp_path / "o", save="polygons")
    with pytest.raises(UserError, match="longer name than file systems take"):
        predict(config)


def test_nothing_is_overwritten_unless_told(trained_run, pictures, tmp_path):
    config = PredictConfig(trained_run / "model.safetensors", pictures / "grey.PNG", tmp_path / "o")
    predict(config)
    with pytest.raises(UserError, match=r"already holds labels/grey\.png"):
        predict(config)
    again = PredictConfig(config.model, config.input, config.output, overwrite=True)
    assert predict(again).num_pictures == 1


def test_input_is_never_overwritten(trained_run, pictures, tmp_path):
    (tmp_path / "labels").mkdir()
    (pictures / "a [1], ü.jpg").rename(tmp_path / "labels" / "x.png")
    with pytest.raises(UserError, match="overwrite the pictures themselves"):
        predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "labels", tmp_path, overwrite=True))


def test_nothing_readable_is_an_error(trained_run, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "broken.jpg", tmp_path / "o"))


def test_all_kinds_are_written_in_the_structure_of_the_input(trained_run, pictures, tmp_path):
    (pictures / "deep" / "er").mkdir(parents=True)
    (pictures / "grey.PNG").rename(pictures / "deep" / "er" / "grey.PNG")
    kinds = "labels,segmentation,overlays,confidence,polygons"
    model, out = trained_run / "model.safetensors", tmp_path / "o"
    assert predict(PredictConfig(model, pictures, out, save=kinds)).kinds == kinds.split(",")
    for kind in kinds.split(","):
        assert (out / kind / "deep" / "er").joinpath("grey.geojson" if kind == "polygons" else "grey.png").exists()
    confidence = open_picture(out / "confidence" / "deep" / "er" / "grey.png")
    assert (confidence.mode, confidence.size) == ("L", (50, 31))
    assert np.array(confidence).min() >= 255 // 3
    names = {image["file_name"] for image in json.loads((out / "polygons.json").read_text())["images"]}
    assert names == {"a [1], ü.jpg", "alpha.webp", "deep/er/grey.PNG"}


@pytest.mark.parametrize(("save", "message"), [("label", "no such result"), (",", "names nothing")])
def test_unknown_kinds_are_refused(trained_run, pictures, tmp_path, save, message):
    with pytest.raises(UserError, match=message):
        predict(PredictConfig(trained_run / "model.safetensors", pictures, tmp_path / "o", save=save))


def test_overlay_shows_the_picture_where_nothing_is_labelled():
    from segtune.classes import class_table

    picture = np.full((4, 6, 3), 100, np.uint8)
    labels = np.full((4, 6), 255, np.uint8)
    assert (overlay(picture, labels, class_table(["a"])) == picture).all()


@pytest.mark.parametrize("size", [(1, 1), (500, 10), (10, 500)])
def test_panel_is_drawn_for_every_size_and_many_classes(size):
    from segtune.classes import class_table

    table = class_table([f"a rather long name {index}" for index in range(30)])
    drawn = panel(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.zeros(size, np.uint8), table)
    shown = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
    assert set(table.colors) <= shown  # the legend has all


SMALL_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
import segtune
from segtune.cli import main

segtune.load(sys.argv[1], backend=sys.argv[-1]).predict(np.zeros((64, 64, 3), np.uint8))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000, -1))
sys.exit(main(["predict", *sys.argv[1:-1], "--tile", "0", "--backend", sys.argv[-1]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_a_picture_that_needs_too_much_memory_is_told_and_others_are_done(trained_run, tmp_path, backend):
    pictures, output = tmp_path / "pictures", tmp_path / "output"
    pictures.mkdir()
    Image.new("RGB", (4000, 3000)).save(pictures / "large.png")
    Image.new("RGB", (64, 64)).save(pictures / "small.png")
    words = [sys.executable, "-c", SMALL_MEMORY, trained_run / "model.safetensors", pictures, output, backend]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    told = " ".join(done.stderr.split())
    assert done.returncode == 1, told
    assert "large.png needs more memory than is free." in told
    assert "--tile 512" in told
    assert "Traceback" not in told
    assert [path.name for path in (output / "labels").iterdir()] == ["small.png"]

"""The command suggest: what it chooses, writes, refuses and tells."""

import csv
import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.cli import main
from segtune.config import ConvertConfig, SuggestConfig
from segtune.errors import UserError
from segtune.labeling.features import FeaturedLooks
from segtune.labeling.suggest import suggest
from segtune.pictures import read_labels, read_picture
from segtune.prediction.predictor import load


@pytest.fixture
def pool(make_dataset, tmp_path) -> Path:
    """Eight pictures in a folder and one below."""
    made = make_dataset(tmp_path / "made", num_train=9, num_val=1)
    folder = tmp_path / "pool"
    shutil.copytree(made / "train" / "Images", folder)
    names = ["rock", "tree", "sea", "hill", "moon", "cloud", "road", "lake", "wood"]
    for path, name in zip(sorted(folder.iterdir()), names, strict=True):
        path.rename(folder / f"{name}.jpg")
    (folder / "deep <b>").mkdir()
    (folder / "wood.jpg").rename(folder / "deep <b>" / 'wo\'od & "x".jpg')
    return folder


@pytest.fixture
def model(trained_run) -> Path:
    return trained_run / "model.safetensors"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "ranking.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_results(model, pool, tmp_path):
    out = tmp_path / "out"
    report = suggest(SuggestConfig(model, pool, out, count=4))
    table = rows(out)
    assert [row["rank"] for row in table] == [str(place) for place in range(1, 10)]
    assert [row["chosen"] for row in table] == ["1"] * 4 + ["0"] * 5
    assert [row["file"] for row in table[:4]] == [entry.file for entry in report.chosen]
    assert {path.name for path in (out / "pictures").iterdir()} == {entry.file for entry in report.chosen}
    assert all(float(row["uncertainty"]) > 0 for row in table)
    assert table[0]["distance"] == ""
    assert json.loads((out / "cvat_labels.json").read_text())[1]["name"] == "wall"


def test_zip_holds_the_predictions_of_the_chosen(model, pool, tmp_path):
    out = tmp_path / "out"
    suggest(SuggestConfig(model, pool, out, count=5, backend="eager"))
    options = {"images": out / "pictures", "background": "error", "classes": "floor,wall,box"}
    convert(ConvertConfig(out / "cvat.zip", tmp_path / "back", **options))
    predictor = load(model, backend="eager")
    pairs = sorted((tmp_path / "back").glob("*/Labels/*.png"))
    assert len(pairs) == 5
    for path in pairs:
        assert (read_labels(path) == predictor.predict(out / "pictures" / f"{path.stem}.jpg").class_ids).all()


def test_page_needs_no_network_and_is_safe_against_names(model, pool, tmp_path):
    suggest(SuggestConfig(model, pool, tmp_path / "out", count=9))
    page = (tmp_path / "out" / "suggest.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.count("<img ") == 27
    assert "<b>1. " in page
    assert "deep <b>" not in page
    assert 'wo\'od & "x".jpg' in unescape(page)


def test_labelled_pictures_are_left_out_and_their_copies_put_back(model, pool, make_dataset, tmp_path, capsys):
    dataset = make_dataset(tmp_path / "labelled", num_train=3, num_val=2)
    shutil.copy(pool / "sea.jpg", dataset / "train" / "Images" / "000.jpg")
    Image.open(pool / "hill.jpg").save(dataset / "val" / "Images" / "100.jpg", quality=60)
    arguments = ["suggest", str(model), str(pool), str(tmp_path / "out"), "--count", "6", "--labeled", str(dataset)]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "2 pictures that are in the dataset already" in told.err
    table = rows(tmp_path / "out")
    # The drawn dataset and the pool share another one.
    assert not {"sea.jpg", "tree.jpg"} & {Path(row["picture"]).name for row in table}
    (hill,) = [row for row in table if Path(row["picture"]).name == "hill.jpg"]
    assert (hill["chosen"], hill["like"]) == ("0", "100.jpg")


def test_rounds_merge_though_videos_number_their_frames_alike(model, pool, tmp_path):
    for name in ("cam1", "cam2"):
        (tmp_path / "frames" / name).mkdir(parents=True)
    for path, target in zip(sorted(pool.glob("*.jpg")), ["cam1/1", "cam1/2", "cam2/1", "cam2/2"], strict=False):
        shutil.copy(path, tmp_path / "frames" / f"{target}.jpg")
    options = {"background": "class", "classes": "floor,wall,box"}
    dataset = tmp_path / "dataset"
    for round_ in range(3):
        out = tmp_path / f"out{round_}"
        labeled = dataset if round_ else None
        report = suggest(SuggestConfig(model, tmp_path / "frames", out, count=1 if round_ else 2, labeled=labeled))
        for entry in report.chosen:
            assert entry.file == f"{entry.picture.parent.name}_{entry.picture.name}"
        convert(ConvertConfig(out / "cvat.zip", dataset, images=out / "pictures", merge=round_ > 0, **options))
    assert sorted(path.name for path in dataset.glob("*/Images/*")) == [
        "cam1_1.jpg", "cam1_2.jpg", "cam2_1.jpg", "cam2_2.jpg",
    ]  # fmt: skip


def test_pictures_that_cannot_be_read_are_told_at_the_end(model, pool, tmp_path, capsys):
    (pool / "broken.jpg").write_bytes(b"no picture")
    assert main(["suggest", str(model), str(pool), str(tmp_path / "out"), "--count", "2"]) == 1
    assert "broken.jpg is not a picture" in " ".join(capsys.readouterr().err.split())
    assert len(rows(tmp_path / "out")) == 9


def test_labelled_pictures_that_cannot_be_read_are_told(model, pool, make_dataset, tmp_path, capsys):
    dataset = make_dataset(tmp_path / "labelled", num_train=3, num_val=2)
    (dataset / "val" / "Images" / "100.jpg").write_bytes(b"no picture")
    arguments = ["suggest", str(model), str(pool), str(tmp_path / "out"), "--count", "2", "--labeled", str(dataset)]
    assert main(arguments) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"Not counted as labelled: \S+100\.jpg is not a picture", told)
    assert told.count("100.jpg") == 1


def test_nothing_is_overwritten_unless_told(model, pool, tmp_path):
    config = SuggestConfig(model, pool, tmp_path / "out", count=3)
    suggest(config)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"already holds ranking\.csv"):
        suggest(config)
    suggest(SuggestConfig(model, pool, tmp_path / "out", count=2, overwrite=True))
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 2
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_a_folder_of_pictures_that_it_did_not_make_is_never_removed(model, pool, tmp_path):
    mine = tmp_path / "out" / "pictures" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(UserError, match="was not made by 'segtune suggest'"):
        suggest(SuggestConfig(model, pool, tmp_path / "out", count=2, overwrite=True))
    assert mine.exists()


def test_pictures_of_the_pool_are_never_removed(model, pool, tmp_path):
    pool.rename(tmp_path / "pictures")
    with pytest.raises(UserError, match="overwrite the pictures themselves"):
        suggest(SuggestConfig(model, tmp_path / "pictures", tmp_path, overwrite=True))
    assert (tmp_path / "pictures" / "sea.jpg").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "--count is 0"),
        ({"labeled": Path("nowhere")}, "not a dataset folder"),
        ({"min_confidence": -1}, "min-confidence"),
    ],
)
def test_impossible_options_are_refused(model, pool, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        suggest(SuggestConfig(model, pool, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_videos_are_refused_with_what_to_do(model, tmp_path):
    (tmp_path / "ride.mp4").touch()
    with pytest.raises(UserError, match=r"ride\.mp4 is a video(?s:.)*ffmpeg"):
        suggest(SuggestConfig(model, tmp_path / "ride.mp4", tmp_path / "out"))


def test_videos_in_the_folder_are_told(model, pool, capsys):
    (pool / "deep <b>" / "ride.mp4").touch()
    (pool / ".hidden.mp4").touch()
    (pool / "out").mkdir()
    (pool / "out" / "drawn.mp4").touch()
    report = suggest(SuggestConfig(model, pool, pool / "out", count=2))
    told = capsys.readouterr().err
    assert re.search(r"Note: videos in the folder are left out: ride\.mp4\. .*ffmpeg", told)
    assert len(report.ranked) == 9


def test_encoder_tells_pictures_apart(model, pool):
    looks = FeaturedLooks(load(model, backend="eager"))
    assert looks.has_encoder
    _, one = looks.look(read_picture(pool / "sea.jpg"))
    _, same = looks.look(read_picture(pool / "sea.jpg"))
    _, other = looks.look(read_picture(pool / "hill.jpg"))
    assert one.ndim == 1
    assert one.shape[0] > 100
    assert (one == same).all()
    assert np.linalg.norm(one - other) > 0


@pytest.mark.parametrize("suffix", ["onnx", "torchscript.pt"])
def test_exports_without_an_encoder_are_taken(model, pool, tmp_path, suffix):
    exported = tmp_path / f"m.{suffix}"
    assert main(["export", str(model), str(exported), "--no-check"]) == 0
    report = suggest(SuggestConfig(exported, pool, tmp_path / "out", count=3))
    assert len(report.chosen) == 3
    assert not FeaturedLooks(load(exported)).has_encoder


def test_pictures_that_an_export_cannot_compute_are_told(model, pool, tmp_path):
    Image.new("RGB", (20, 20)).save(pool / "tiny.png")
    assert main(["export", str(model), str(tmp_path / "m.pt2"), "--no-check"]) == 0
    report = suggest(SuggestConfig(tmp_path / "m.pt2", pool, tmp_path / "out", count=3))
    assert len(report.chosen) == 3
    assert len(report.unreadable) == 1


def test_exports_that_are_never_unsure_are_refused(model, pool, tmp_path):
    assert main(["export", str(model), str(tmp_path / "m.onnx"), "--no-check", "--argmax"]) == 0
    with pytest.raises(UserError, match="never unsure"):
        suggest(SuggestConfig(tmp_path / "m.onnx", pool, tmp_path / "out"))

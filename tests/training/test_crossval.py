"""Cross-validation: each picture is validated once, by a model that has not seen its group; and the ensemble."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.dataset_folder import find_pairs
from segtune.classes import IGNORE, class_table, write_classes
from segtune.config import CrossvalConfig, EvaluateConfig, PredictConfig
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate
from segtune.model_file import ensemble_members, load_model, save_model, write_ensemble
from segtune.pictures import read_labels
from segtune.prediction.predict import predict
from segtune.prediction.predictor import load
from segtune.training.crossval import CrossvalResult, crossval
from segtune.training.events import RunDone, RunStarted
from segtune.training.train import TrainingInterrupted

OPTIONS = {"model": "unet:efficientnet_lite0", "epochs": 1, "batch_size": 4, "crop": 64, "report_to": "none"}


@pytest.fixture(scope="module")
def crossvalidated(tmp_path_factory, make_dataset):
    folder = tmp_path_factory.mktemp("crossval")
    dataset = make_dataset(folder / "dataset")
    config = CrossvalConfig(dataset, folder / "run", folds=3, ensemble=True, group_by="none", **OPTIONS)
    return config, crossval(config)


def test_each_picture_is_validated_once(crossvalidated):
    config, result = crossvalidated
    names = [
        {pair.picture.name for pair in find_pairs(config.run / f"fold_{number}" / "dataset", "val")}
        for number in (1, 2, 3)
    ]
    assert sorted(name for fold in names for name in fold) == sorted(
        pair.picture.name for split in ("train", "val") for pair in find_pairs(config.dataset, split)
    )
    for number, held_out in enumerate(names, 1):
        seen = {pair.picture.name for pair in find_pairs(config.run / f"fold_{number}" / "dataset", "train")}
        assert not seen & held_out
        assert len(held_out) == 3
    assert result.pooled.num_pictures == 9
    assert result.pooled.confusion.sum() == 9 * 72 * 96


def test_scores_are_those_of_the_folds(crossvalidated):
    config, result = crossvalidated
    written = json.loads((config.run / "crossval.json").read_text())
    for number, scores in enumerate(result.folds, 1):
        run = config.run / f"fold_{number}"
        assert evaluate(EvaluateConfig(run / "model.safetensors", run / "dataset")).mean_iou == scores.mean_iou
    assert written["mean_iou"] == pytest.approx(np.mean(written["folds"]))
    # Student's t with 2 degrees of freedom; an IoU is neither below 0 nor above 1.
    width = 4.303 * np.std(written["folds"], ddof=1) / np.sqrt(3)
    ends = np.clip([written["mean_iou"] - width, written["mean_iou"] + width], 0, 1)
    assert written["mean_iou_interval"] == pytest.approx(ends.tolist())


def test_same_command_goes_on_and_does_nothing_twice(crossvalidated):
    config, result = crossvalidated
    models = [config.run / f"fold_{number}" / "model.safetensors" for number in (1, 2, 3)]
    times = [model.stat().st_mtime_ns for model in models]
    again = crossval(replace(config, resume="auto"))
    assert isinstance(again, CrossvalResult)
    assert again.to_dict() == json.loads(json.dumps(result.to_dict())) | {"mean_iou_interval": result.interval}
    assert [model.stat().st_mtime_ns for model in models] == times
    with pytest.raises(UserError, match="already holds a cross-validation"):
        crossval(config)
    with pytest.raises(UserError, match="begun with other folds"):
        crossval(replace(config, resume="auto", folds=2))


def test_a_start_that_failed_is_not_in_the_way(make_dataset, tmp_path):
    config = CrossvalConfig(make_dataset(tmp_path / "data"), tmp_path / "run", folds=2, group_by="none", **OPTIONS)
    labels = config.dataset / "train" / "Labels" / "000.png"
    sound = labels.read_bytes()
    labels.write_bytes(sound[:20])
    for resume in ("never", "auto"):
        with pytest.raises(UserError, match=rf"{config.dataset}/train/Labels/000\.png"):
            crossval(replace(config, folds=3, resume=resume))
    labels.write_bytes(sound)
    assert len(crossval(config).folds) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 10}, "--crop is 10"),
        ({"classes": "a,b"}, "--classes would have no effect"),
        ({"model": "deeplabv9"}, "deeplabv9"),
        ({"time_budget": "soon"}, "--time-budget is 'soon'"),
        ({"weights": "nothing.pth"}, "no weights file nothing.pth"),
        ({"init": Path("nothing.safetensors")}, "no model file nothing.safetensors"),
    ],
)
def test_what_is_refused_removes_nothing(crossvalidated, options, message):
    config, _ = crossvalidated
    with pytest.raises(UserError, match=message):
        crossval(replace(config, overwrite=True, **options))
    assert all((config.run / f"fold_{number}" / "model.safetensors").exists() for number in (1, 2, 3))
    assert (config.run / "crossval.json").exists()


def test_a_damaged_dataset_removes_nothing(crossvalidated, make_dataset, tmp_path):
    config, _ = crossvalidated
    damaged = make_dataset(tmp_path / "data")
    (damaged / "train" / "Labels" / "000.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"000\.png"):
        crossval(replace(config, dataset=damaged, overwrite=True))
    assert (config.run / "fold_1" / "model.safetensors").exists()


def test_runs_and_datasets_of_the_users_own_are_not_replaced(make_dataset, trained_run, tmp_path):
    own = make_dataset(tmp_path / "run" / "fold_1" / "dataset")
    before = sorted(path.read_bytes() for path in own.glob("*/*/*"))
    config = CrossvalConfig(make_dataset(tmp_path / "data"), tmp_path / "run", folds=2, group_by="none", **OPTIONS)
    for dataset, message in ((config.dataset, "holds files of its own"), (own, "is the dataset itself")):
        for overwrite in (False, True):
            with pytest.raises(UserError, match=message):
                crossval(replace(config, dataset=dataset, overwrite=overwrite))
    assert sorted(path.read_bytes() for path in own.glob("*/*/*")) == before
    shutil.rmtree(own.parent)
    shutil.copytree(trained_run, own.parent)
    with pytest.raises(UserError, match="no cross-validation's"):
        crossval(config)
    assert (own.parent / "model.safetensors").read_bytes() == (trained_run / "model.safetensors").read_bytes()


def test_options_of_a_fold_that_is_done_must_be_the_same(crossvalidated):
    config, _ = crossvalidated
    with pytest.raises(UserError, match="begun with other options: --crop was 64, is 96"):
        crossval(replace(config, resume="auto", crop=96))


def interrupt(number):
    """Stops as the training of a fold begins, counted from 1."""
    begun = []

    def listen(event):
        begun.extend([event] if isinstance(event, RunStarted) else [])
        if len(begun) == number:
            raise KeyboardInterrupt

    return listen


def test_overwrite_leaves_nothing_of_the_earlier_one(dataset, tmp_path):
    config = CrossvalConfig(dataset, tmp_path / "run", folds=3, group_by="none", ensemble=True, **OPTIONS)
    config.run.mkdir()
    (config.run / "fold_notes.txt").touch()
    for number in (1, 2, 3):
        run = config.run / f"fold_{number}"
        run.mkdir()
        for name in ("run.json", "scores.json", "model.safetensors"):
            (run / name).write_text("{}")
    for name in ("crossval.json", "folds.json", "ensemble.json"):
        (config.run / name).write_text("{}")

    with pytest.raises(TrainingInterrupted):
        crossval(replace(config, overwrite=True), [interrupt(1)])
    assert [path.name for path in config.run.glob("*.json")] == ["folds.json"]
    assert list(config.run.glob("fold_*/*.json")) == [config.run / "fold_1" / "run.json"]
    assert not list(config.run.glob("fold_*/model.safetensors"))


def test_a_stop_asked_for_at_the_end_of_a_fold_is_the_last_of_it(dataset, tmp_path):
    def stop(event):
        if isinstance(event, RunDone):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingInterrupted):
        crossval(CrossvalConfig(dataset, tmp_path / "run", folds=2, group_by="none", **OPTIONS), [stop])
    assert (tmp_path / "run" / "fold_1" / "scores.json").exists()
    assert not (tmp_path / "run" / "fold_2").exists()


@pytest.mark.parametrize("option", ["init", "weights"])
def test_weights_that_may_have_seen_the_pictures_are_warned_of(crossvalidated, tmp_path, option, capsys):
    config, _ = crossvalidated
    model = config.run / "fold_1" / "model.safetensors"
    start = {"init": model} if option == "init" else {"weights": str(model)}
    with pytest.raises(TrainingInterrupted):
        crossval(replace(config, run=tmp_path / "run", **start), [interrupt(1)])
    assert "the scores flatter" in " ".join(capsys.readouterr().err.split())


def test_folds_are_linked_where_the_run_is_reached_by_a_link(dataset, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "far" / "away")
    config = CrossvalConfig(dataset, tmp_path / "runs" / "cv", folds=2, group_by="none", **OPTIONS)
    assert len(crossval(config).folds) == 2


def test_interrupted_cross_validation_goes_on(dataset, tmp_path):
    config = CrossvalConfig(dataset, tmp_path / "run", folds=2, group_by="none", **OPTIONS)
    with pytest.raises(TrainingInterrupted):
        crossval(config, [interrupt(2)])
    first, second = (config.run / f"fold_{number}" / "model.safetensors" for number in (1, 2))
    trained = first.stat().st_mtime_ns
    assert not second.exists()
    assert len(crossval(replace(config, resume="auto"), []).folds) == 2
    assert first.stat().st_mtime_ns == trained  # it had nothing left to train
    assert second.exists()


def renamed(folder, names):
    """The labelled pictures of a dataset under other names, in their order."""
    pairs = [pair for split in ("train", "val") for pair in find_pairs(folder, split)]
    for pair, name in zip(pairs, names, strict=True):
        for path in (pair.picture, pair.labels):
            path.rename(path.with_name(f"{name}{path.suffix}"))
    return folder


@pytest.mark.parametrize("kind", ["videos", "classes"])
def test_groups_are_those_of_convert(make_dataset, tmp_path, kind, capsys):
    """Names that tell classes apart look like those of videos."""
    folder = make_dataset(tmp_path / "data", num_train=7)
    dataset = renamed(folder, [f"{name}_{number}" for name in "abcde" for number in (1, 2)])
    if kind == "classes":
        write_classes(dataset / "classes.yaml", class_table([f"of {name}" for name in "abcde"]))
        for path in dataset.glob("*/Labels/*.png"):
            Image.fromarray(np.full_like(read_labels(path), "abcde".index(path.stem[0]))).save(path)
    with pytest.raises(TrainingInterrupted):
        crossval(CrossvalConfig(dataset, tmp_path / "run", folds=5, **OPTIONS), [interrupt(1)])
    folds = json.loads((tmp_path / "run" / "folds.json").read_text())
    together = {name[0] for name in folds if folds[f"{name[0]}_1.jpg"] == folds[f"{name[0]}_2.jpg"]}
    assert together == (set("abcde") if kind == "videos" else set())
    told = " ".join(capsys.readouterr().err.split())
    assert ("each is kept together" if kind == "videos" else "were not kept together") in told


def test_pictures_without_labels_are_in_no_fold(dataset, tmp_path, capsys):
    for stem in ("000", "001"):
        path = dataset / "train" / "Labels" / f"{stem}.png"
        Image.fromarray(np.full_like(read_labels(path), IGNORE)).save(path)
    config = CrossvalConfig(dataset, tmp_path / "run", folds=7, group_by="none", **OPTIONS)
    with pytest.raises(TrainingInterrupted):
        crossval(config, [interrupt(1)])
    folds = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert sorted(folds) == ["002.jpg", "003.jpg", "004.jpg", "005.jpg", "100.jpg", "101.jpg", "102.jpg"]
    assert "2 pictures without a labelled pixel are left out" in capsys.readouterr().err


def test_nothing_labelled_at_all_is_told(dataset, tmp_path):
    for path in dataset.glob("*/Labels/*.png"):
        Image.fromarray(np.full_like(read_labels(path), IGNORE)).save(path)
    with pytest.raises(UserError, match="no pixel of train carries a label"):
        crossval(CrossvalConfig(dataset, tmp_path / "run", folds=2, **OPTIONS))


def test_one_name_in_train_and_val_is_refused(dataset, tmp_path):
    for folder, suffix in (("Images", "jpg"), ("Labels", "png")):
        shutil.copy(dataset / "train" / folder / f"000.{suffix}", dataset / "val" / folder)
    with pytest.raises(UserError, match="same name in train and val: 000"):
        crossval(CrossvalConfig(dataset, tmp_path / "run", folds=2, **OPTIONS))


def test_models_of_other_sizes_make_no_ensemble(crossvalidated, tmp_path):
    config, _ = crossvalidated
    models = [tmp_path / f"{number}.safetensors" for number in (1, 2)]
    for number, path in enumerate(models, 1):
        model = load_model(config.run / f"fold_{number}" / "model.safetensors")
        rule = replace(model.preprocessing, longest_side=100 * number)
        save_model(path, replace(model, preprocessing=rule))
    write_ensemble(tmp_path / "ensemble.json", models)
    with pytest.raises(UserError, match="different classes or sizes"):
        load_model(tmp_path / "ensemble.json")


def test_ensemble_is_the_mean_of_its_members(crossvalidated, tmp_path):
    config, _ = crossvalidated
    ensemble = config.run / "ensemble.json"
    picture = np.asarray(Image.open(next((config.dataset / "val" / "Images").iterdir())))
    single = [load(model, backend="eager").predict(picture) for model in ensemble_members(ensemble)]
    together = load(ensemble, backend="eager").predict(picture)
    agreed = np.all([one.class_ids == together.class_ids for one in single], axis=0)
    assert agreed.any()
    mean = np.mean([one.confidence for one in single], axis=0)
    assert np.abs(mean - together.confidence)[agreed].max() < 1e-4
    pictures = config.dataset / "val" / "Images"
    assert predict(PredictConfig(ensemble, pictures, tmp_path / "o", backend="eager")).num_pictures == 3
    assert evaluate(EvaluateConfig(ensemble, config.dataset)).num_pictures == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "can't be read"),
        ("{}", "no list of segtune models"),
        ('{"format": "segtune-ensemble-1", "models": []}', "no list of segtune models"),
        (
            '{"format": "segtune-ensemble-1", "models": [{"path": "../x.safetensors", "sha256": ""}]}',
            "no model file beside",
        ),
        ('{"format": "segtune-ensemble-1", "models": [{"path": "x.safetensors", "sha256": ""}]}', "is not there"),
        (
            r'{"format": "segtune-ensemble-1", "models": [{"path": "x\u0000.safetensors", "sha256": ""}]}',
            "a zero in it",
        ),
    ],
)
def test_damaged_lists_are_refused(tmp_path, content, message):
    (tmp_path / "ensemble.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "ensemble.json")


def test_changed_member_is_refused(crossvalidated, tmp_path):
    config, _ = crossvalidated
    (tmp_path / "fold_1").mkdir()
    model = load_model(config.run / "fold_1" / "model.safetensors")
    save_model(tmp_path / "fold_1" / "model.safetensors", replace(model, classes=class_table(["a", "b", "c"])))
    (tmp_path / "ensemble.json").write_text((config.run / "ensemble.json").read_text())
    with pytest.raises(UserError, match="another model by now"):
        load_model(tmp_path / "ensemble.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "--folds is 1"),
        ({"folds": 10, "group_by": "none"}, "9 groups can't be divided into 10"),
        ({"group_by": "^(.)"}, "2 groups can't be divided into 5"),
    ],
)
def test_impossible_folds_are_refused(dataset, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        crossval(CrossvalConfig(dataset, tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_what_is_no_dataset_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is not a dataset folder"):
        crossval(CrossvalConfig(tmp_path, tmp_path / "run"))

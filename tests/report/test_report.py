"""The report: what it says, what it leaves out and names, what it refuses; always one bounded page."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.classes import numbered_classes
from segtune.cli import main
from segtune.config import ReportConfig, TrainConfig
from segtune.model_file import load_model, read_header, save_model
from segtune.models.catalog import build_model
from segtune.report.report import write_report
from segtune.training.events import Notice, RunDone, StepDone
from segtune.training.train import TrainingInterrupted, train

LIMIT = 10_000_000
HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_FILE = '"><script>alert(1)<!--ü'
"""As the fixture names class and picture."""


def page_of(run, **options) -> str:
    return write_report(ReportConfig(run, **options)).path.read_text()


def words(page: str) -> str:
    """The text of a page."""
    return unescape(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2].partition("<script>")[0]))


def change_record(run, **changes) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **changes}))


def test_page_tells_what_was_trained_on_what(run):
    text = words(page_of(run))
    record = json.loads((run / "run.json").read_text())
    for part in (
        "deeplabv3plus:efficientnet_lite0", record["dataset"], record["data"]["fingerprint"], "Apache-2.0",
        "packaged (ImageNet)", record["versions"]["torch"], "12 epochs", "cosine", "Pictures in val  3", "cpu",
        "majority class", "Values of the epochs",
    ):  # fmt: skip
        assert part in text


def test_the_time_that_a_training_had_is_told(run):
    plan = json.loads((run / "run.json").read_text())["plan"]
    change_record(run, plan={**plan, "epochs": 0, "time_budget": 600.0})
    assert "of a budget of 10\xa0min" in words(page_of(run))


def test_page_shows_scores_with_intervals(run):
    scores = json.loads((run / "scores.json").read_text())
    text = words(page_of(run))
    low, high = scores["mean_iou_interval"]
    assert f"95 % interval {low:.3f}–{high:.3f}" in text
    for title, name in {"mean IoU": "mean_iou", "mean Dice": "mean_dice", "pixel accuracy": "pixel_accuracy"}.items():
        assert f"{title}  {scores[name]:.3f}" in text
    for entry in scores["classes"]:
        assert f"{entry['iou']:.3f}" in text
    assert "Not in this report" not in text


def test_confusions_are_shares_of_the_labelled_pixels(run):
    scores = json.loads((run / "scores.json").read_text())
    scores["confusion"] = [[90, 10, 0], [2500, 7498, 2], [0, 0, 0]]
    (run / "scores.json").write_text(json.dumps(scores))
    table = re.findall(r'<table class="confusion">.*?</table>', page_of(run))[0]
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]]
    assert cells == [["90", "10", ""], ["25", "75", "·"], ["", "", ""]]


def test_worst_and_best_pictures_are_those_of_the_table(run):
    page = page_of(run, pictures=1)
    worst, _, best = page.partition("<h3>Worst</h3>")[2].partition("<h3>Best</h3>")
    assert ("100.jpg" in worst, "102.jpg" in best, "101.jpg" in page) == (True, True, False)
    assert "mean IoU 0.125" in worst
    assert page.count('class="wiper"') == 2
    assert page_of(run, pictures=0).count('class="wiper"') == 0
    assert page_of(run, pictures=100).count('class="wiper"') == 3


def test_class_ids_keep_their_exact_colours(run):
    page = page_of(run)
    table = load_model(run / "model.safetensors").classes
    uris = re.findall(r'data-view="(?:labels|prediction)"[^>]*src="data:image/png;base64,([^"]+)"', page)
    assert len(uris) == 6
    for uri in uris:
        picture = Image.open(io.BytesIO(base64.b64decode(uri)))
        assert {color for _, color in picture.convert("RGB").getcolors()} <= set(table.colors)


@pytest.mark.parametrize(
    ("absent", "told", "left_out"),
    [
        (["scores.json"], "no 95 % intervals", "95 % interval 0"),
        (["per_image.csv"], "no per_image.csv", "<h3>Worst"),
        (["samples/augmented.jpg"], "no augmented samples", 'class="sheet"'),
        (["model.safetensors", "scores.json", "per_image.csv"], "no model.safetensors yet", 'class="wiper"'),
        (["metrics.jsonl"], "No epoch is done yet", "<svg"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_not_there_is_left_out_and_named(run, absent, told, left_out):
    for name in absent:
        (run / name).unlink()
    page = page_of(run)
    assert told in words(page)
    assert left_out not in page


@pytest.mark.parametrize(("labelled", "is_drawn"), [(0.5, False), (0.6, True)])
def test_what_chooses_the_epoch_is_drawn_where_it_is_another_mean(run, labelled, is_drawn):
    line = {"epoch": 1, "train_loss": 1.5, "mean_iou": 0.5, "labelled_mean_iou": labelled, "seconds": 2}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    page = page_of(run)
    assert ("Mean IoU of the labelled classes" in page) == is_drawn
    assert "Training loss, cross entropy + Dice" in page


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("scores.json", "{", "scores.json holds no scores"),
        ("scores.json", '{"mean_iou": 1.5}', "its mean IoU is 1.500, the model's own"),
        ("scores.json", "[]", "scores.json holds no scores"),
        ("scores.json", '{"mean_iou": 1, "classes": [], "confusion": []}', "scores.json holds no scores"),
        ("per_image.csv", "picture\n100.jpg\n", "per_image.csv can't be read"),
        ("per_image.csv", "picture,mean_iou\n../../x.jpg,0.5\n", "../../x.jpg is not in val/Images"),
        ("per_image.csv", "picture,mean_iou\n100.jpg,much\n", "per_image.csv can't be read"),
        ("model.safetensors", "{", "not a segtune model file"),
        ("samples/augmented.jpg", "broken", "not a picture that can be decoded"),
        ("metrics.jsonl", '{"epoch": 1, "train_loss": 1.5, "seconds": 2}\n{"epoch": 2, "trai', "1 of 12 epochs"),
        ("metrics.jsonl", '{"epoch": 1, "train_loss": NaN}\n[]\n{"epoch": "x"}\n', "1 of 12 epochs"),
    ],
)  # fmt: skip
def test_damaged_files_cost_their_part_alone(run, name, content, told):
    (run / name).write_text(content)
    text = words(page_of(run))
    assert told in text
    assert "Fingerprint" in text


def test_metrics_that_can_not_be_read_cost_the_curves_alone(run):
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").mkdir()
    page = page_of(run)
    assert "metrics.jsonl can't be read" in words(page)
    assert "With 3 pictures the intervals are rough" in words(page)


def test_moved_dataset_is_named_anew(run, trained_run, tmp_path):
    change_record(run, dataset=str(tmp_path / "gone"))
    text = words(page_of(run))
    assert f"{tmp_path / 'gone'} is missing" in text
    assert "--dataset DATASET" in text
    moved = shutil.copytree(trained_run.parent / "dataset", tmp_path / "moved")
    assert page_of(run, dataset=moved).count('class="wiper"') == 3


def test_another_dataset_is_not_shown_as_this_one(run, make_dataset, tmp_path):
    other = make_dataset(tmp_path / "other", num_val=1)
    assert "101.jpg is not in val/Images" in words(page_of(run, dataset=other))
    labels = make_dataset(tmp_path / "classes")
    Image.fromarray(np.full((72, 96), 7, np.uint8)).save(labels / "val" / "Labels" / "100.png")
    assert "does not fit" in words(page_of(run, dataset=labels))


def test_names_can_not_write_html(hostile_run):
    page = page_of(hostile_run)
    assert HOSTILE not in page
    assert HOSTILE_FILE not in page
    assert escape(HOSTILE) in page
    assert "Gehölz &amp; 木" in page
    assert page.count("<script>") == 1


def test_findings_of_the_check_are_told(run):
    data = json.loads((run / "run.json").read_text())["data"]
    finding = {"severity": "warning", "kind": "rare-class", "message": f"{HOSTILE} is rare", "files": [], "repair": ""}
    change_record(run, data={**data, "findings": [finding] * 100})
    page = page_of(run)
    assert "warning: rare class (100)" in page
    assert page.count(f"{escape(HOSTILE)} is rare") == 20
    assert "and 80 more" in page


def test_page_asks_nothing_of_a_network(hostile_run):
    page = page_of(hostile_run)
    assert not re.findall(r"(?:src|href)=\"(?!data:image/(?:jpeg|png);base64,|#)", page)
    assert "default-src 'none'" in page
    assert "://" not in page.partition("<main>")[0]


@pytest.mark.parametrize(
    "num_classes", [pytest.param(2, marks=pytest.mark.slow), 50, pytest.param(255, marks=pytest.mark.slow)]
)
def test_page_is_bounded(run, make_dataset, tmp_path, num_classes):
    """Noise is what compresses worst."""
    dataset = make_dataset(tmp_path / "noise", num_val=9)
    generator = np.random.default_rng(0)
    for path in (dataset / "val" / "Images").iterdir():
        Image.fromarray(generator.integers(0, 256, (640, 640, 3), np.uint8)).save(path, quality=95)
        labels = generator.integers(0, num_classes, (640, 640), np.uint8)
        Image.fromarray(labels).save(dataset / "val" / "Labels" / f"{path.stem}.png")
    model = load_model(run / "model.safetensors")
    classes = numbered_classes(num_classes)
    names = [{"name": name, "iou": 0.5, "pixel_share": 0.1, "num_pictures": 3} for name in classes.names]
    confusion = generator.integers(10**8, 10**9, (num_classes, num_classes)).tolist()
    scores = {"mean_iou": 0.5, "classes": names, "confusion": confusion}
    net = build_model(model.architecture, num_classes)
    save_model(run / "model.safetensors", replace(model, net=net, classes=classes, scores=scores))
    (run / "scores.json").unlink()
    (run / "per_image.csv").unlink()
    line = '{{"epoch": {}, "step": 1, "train_loss": 1.5, "learning_rate": 1e-5, "seconds": 2, "mean_iou": 0.5}}\n'
    (run / "metrics.jsonl").write_text("".join(line.format(epoch) for epoch in range(1, 5001)))
    change_record(run, dataset=str(dataset))
    result = write_report(ReportConfig(run, pictures=20))
    assert 1_000_000 < result.path.stat().st_size < LIMIT
    assert any("would be too large" in sentence for sentence in result.missing)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: shutil.rmtree(run), "holds no run"),
        (lambda run: (run / "run.json").unlink(), "holds no run"),
        (lambda run: (run / "run.json").write_text("{"), "can't be read"),
        (lambda run: (run / "run.json").write_text("[]"), "holds no record"),
        (lambda run: (run / "run.json").write_text("{}"), "is not complete"),
        (lambda run: change_record(run, plan=None), "is not complete"),
        (lambda run: change_record(run, data={"splits": []}), "is not complete"),
    ],
)
def test_what_is_no_run_is_told(run, spoil, told, capsys):
    spoil(run)
    assert main(["report", str(run)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_the_report_is_replaced_and_other_files_are_not(run, tmp_path, capsys):
    assert main(["report", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    other = tmp_path / "other.html"
    other.write_text("mine")
    assert main(["report", str(run), "--output", str(other)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert other.read_text() == "mine"
    assert main(["report", str(run), "--output", str(other), "--overwrite"]) == 0
    assert "Training report" in other.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--pictures", "-1"], "--pictures is -1"),
        (["--dataset", "gone"], "gone"),
        (["--output", "/proc/report.html"], "could not be written"),
        (["--device", "cuda"], "no CUDA device"),
    ],
)
def test_options_that_mean_nothing_are_refused(run, options, told, capsys):
    if options == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert main(["report", str(run), *options]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_scores_of_another_split_are_not_shown_as_validation(run):
    scores = json.loads((run / "scores.json").read_text())
    (run / "scores.json").write_text(json.dumps({**scores, "split": "test"}))
    try:
        assert main(["report", str(run)]) == 0
        assert "it is of another split" in (run / "report.html").read_text()
    finally:
        (run / "scores.json").write_text(json.dumps(scores))


def test_a_report_that_fails_does_not_fail_the_training(dataset):
    run = dataset.parent / "run"
    notices = []

    def listener(event):
        if isinstance(event, RunDone):
            (run / "report.html").mkdir()  # a folder where the page would go
        if isinstance(event, Notice):
            notices.append(event.text)

    config = TrainConfig(dataset, run, model="unet:efficientnet_lite0", epochs=1, batch_size=4, crop=64)
    result = train(config, [listener])
    assert result.report is None
    assert read_header(result.model)["scores"]["epoch"] == 1
    assert "the report could not be made" in notices[-1]
    assert f"segtune report {run}" in notices[-1]


def test_an_interrupted_training_has_a_report(dataset):
    run = dataset.parent / "run"

    def interrupt(event):
        if isinstance(event, StepDone) and event.epoch == 2:
            raise KeyboardInterrupt

    config = TrainConfig(dataset, run, model="unet:efficientnet_lite0", epochs=3, batch_size=4, crop=64)
    with pytest.raises(TrainingInterrupted):
        train(config, [interrupt])
    text = words(page_of(run))
    assert "1 of 3 epochs" in text
    assert "It was interrupted, or goes on." in text
    assert "Evenly spread" in text

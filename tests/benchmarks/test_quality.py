"""The harness that compares trainings, with a contestant that only copies labels."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import quality  # noqa: E402

COPY = """
import argparse, json, shutil
from pathlib import Path
parser = argparse.ArgumentParser()
for name in ("--camvid", "--output", "--minutes", "--seed"):
    parser.add_argument(name)
given = parser.parse_args()
shutil.copytree(Path(given.camvid) / "val" / "Labels", Path(given.output) / "labels")
times = {"training_seconds": 60 * float(given.minutes), "steps": 3, "weights": "none", "notes": [], "finished": "now"}
(Path(given.output) / "times.json").write_text(json.dumps(times))
"""


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Twelve drawn pictures to train with, two to validate with; labels are stripes of the first three classes."""
    labels = np.repeat(np.arange(3, dtype=np.uint8), 4)[:, None].repeat(8, axis=1)
    for split, number in (("train", 12), ("val", 2)):
        for kind, content in (("Images", np.stack([labels * 80] * 3, axis=2)), ("Labels", labels)):
            (tmp_path / "camvid" / split / kind).mkdir(parents=True)
            for index in range(number):
                Image.fromarray(content).save(tmp_path / "camvid" / split / kind / f"{index:02}.png")
    return tmp_path / "camvid"


def scores_of(camvid: Path, predicted: Path) -> quality.Scores:
    classes = quality.dataset_classes(camvid, quality.NUM_CLASSES, quality.UNLABELLED)
    return quality.score(predicted, quality.find_pairs(camvid, "val"), classes)


def test_label_images_are_scored_at_full_size(camvid, tmp_path):
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    for name in ("00", "01"):
        labels = np.array(Image.open(camvid / "val" / "Labels" / f"{name}.png"))
        labels[labels == 2] = 1  # a class that is never found, and doubles another
        Image.fromarray(labels).save(predicted / f"{name}.png")
    scores = scores_of(camvid, predicted)
    assert scores.mean_iou == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert scores.num_pictures == 2


@pytest.mark.parametrize(("shape", "value"), [((6, 8), 0), ((12, 8), 11)], ids=["wrong size", "no class"])
def test_what_is_no_prediction_is_refused(camvid, tmp_path, shape, value):
    for name in ("00", "01"):
        Image.fromarray(np.full(shape, value, np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(ValueError, match=r"expected|no class"):
        scores_of(camvid, tmp_path)


def test_runs_are_made_once_and_told(camvid, tmp_path, monkeypatch, capsys):
    script = tmp_path / "copy.py"
    script.write_text(COPY)
    # Both names that the time to quality compares.
    for name in (quality.SEGTUNE, quality.PLAIN):
        monkeypatch.setitem(quality.CONTESTANTS, name, quality.Contestant(name, str(script)))
    work, results = tmp_path / "work", tmp_path / "results"
    words = ["--camvid", camvid, "--work", work, "--results", results, "--environments", tmp_path, "--minutes", "7"]
    words += ["--peers", quality.SEGTUNE, quality.PLAIN, "--seeds", "0", "1"]
    words += ["--part", "quality", "few-labels", "time-to-quality"]
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, words)])
    quality.main()
    told = capsys.readouterr().out
    assert told.count("mean IoU 1.0000, 3 steps") == 2 * (2 + 2 + len(quality.TIMES_TO_QUALITY))
    assert "7 minutes, 12 training pictures" in told
    assert "7 minutes, 2 training pictures" in told
    assert "segtune has it in at most 2.0 minutes" in told
    [path] = results.glob("*-quality.json")
    assert str(tmp_path) not in path.read_text()
    figures = json.loads(path.read_text())["results"]["all-7-minutes"][quality.PLAIN]
    assert (figures["mean_iou"], figures["spread"], figures["seeds"]) == (1, 0, 2)
    script.unlink()  # nothing is run again, on another machine neither, where only the result file has come to
    shutil.rmtree(work)
    quality.main()
    assert "mean IoU 1.0000, 3 steps" not in capsys.readouterr().out
    assert json.loads(path.read_text())["results"]["all-7-minutes"][quality.PLAIN] == figures


def test_results_of_another_machine_are_refused(tmp_path):
    quality.write(tmp_path / "other.json", {"machine": {"name": "another"}, "results": {}})
    with pytest.raises(SystemExit, match=r"other\.json is of another, this is "):
        quality.put_back(tmp_path / "other.json", tmp_path)


def lives(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        quality.call(["sh", "-c", "sleep 600 & echo $!; wait"], tmp_path / "log.txt", 2)
    pid = (tmp_path / "log.txt").read_text().strip()
    assert pid.isdecimal()
    deadline = time.monotonic() + 10
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(pid)


@pytest.mark.parametrize(
    ("parts", "number"), [(["quality"], 3 * 6), (["few-labels"], 3 * 2), (["time-to-quality"], 3 * 5), (["hour"], 6)]
)
def test_each_part_has_its_contestants_and_seeds(parts, number):
    assert len(quality.wanted_runs(parts, 10)) == number
    one = quality.wanted_runs(parts, 10, [quality.PLAIN], [7])
    assert {(run.contestant, run.seed) for run in one} == {(quality.PLAIN, 7)}


@pytest.mark.parametrize(
    ("written", "told"),
    [("", "times.json"), ("(labels / '00.png').unlink()", "00.png"), ("(labels / '01.png').write_text('x')", "01.png")],
    ids=["nothing", "a picture too few", "no picture"],
)
def test_a_run_that_writes_what_it_should_not_fails(camvid, tmp_path, monkeypatch, capsys, written, told):
    script = tmp_path / "peer.py"
    copy = f"{COPY}labels = Path(given.output) / 'labels'\n"
    script.write_text(f"{copy}{written}" if written else COPY.partition("times =")[0])
    monkeypatch.setitem(quality.CONTESTANTS, quality.PLAIN, quality.Contestant("a peer", str(script)))
    words = ["--camvid", camvid, "--work", tmp_path / "work", "--results", tmp_path, "--environments", tmp_path]
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, words), "--peers", quality.PLAIN, "--seeds", "0", "1"])
    with pytest.raises(SystemExit, match="2 of 2 runs failed"):
        quality.main()
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("own", "plain", "met"),
    [(0.66, 0.6, [True, True]), (0.64, 0.6, [False, True]), (0.66, 0.65, [True, False])],
    ids=["both", "too low", "within the spread"],
)
def test_goals_are_told_as_met_or_not(own, plain, met):
    def entry(mean_iou):
        return {"mean_iou": mean_iou, "spread": 0.02, "seeds": 3, "runs": [{"training_seconds": 600}] * 3}

    groups = {"all-10-minutes": {quality.SEGTUNE: entry(own), quality.PLAIN: entry(plain)}}
    lines = list(quality.goals({"results": groups, "minutes": 10.0, "time_to_quality": None}))
    assert [line.endswith(" Met.") for line in lines] == met


def test_one_seed_is_not_said_to_be_above_another():
    entry = {"mean_iou": 0.7, "spread": None, "seeds": 1, "runs": [{"training_seconds": 600}]}
    groups = {"all-10-minutes": {quality.SEGTUNE: entry, quality.PLAIN: {**entry, "mean_iou": 0.5}}}
    [_, line] = quality.goals({"results": groups, "minutes": 10.0, "time_to_quality": None})
    assert "+0.200" in line
    assert not line.endswith("et.")


def test_a_run_that_fails_is_told_and_the_others_go_on(camvid, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(quality.CONTESTANTS, quality.PLAIN, quality.Contestant("fails", str(tmp_path / "missing.py")))
    words = ["--camvid", camvid, "--work", tmp_path / "work", "--results", tmp_path, "--environments", tmp_path]
    words += ["--peers", quality.PLAIN, "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, words)])
    with pytest.raises(SystemExit, match="1 of 1 runs failed"):
        quality.main()
    assert "log.txt" in capsys.readouterr().out

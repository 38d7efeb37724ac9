"""Several processes: the same result as one, where the loss adds up; a killed one ends the run, to be resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segtune.cli import main

OPTIONS = [
    "--model", "unet:efficientnet_lite0", "--crop", "64", "--batch-norm", "sync",
    "--optimizer", "sgd", "--learning-rate", "0.02", "--report-to", "none", "--device", "cpu",
]  # fmt: skip
# 9 pictures in batches of 2 leave one, in which the second process has nothing to do; of those of 4, which are three of
# 3, it has one picture, and nothing to do in the first of two parts.
NUM_TRAIN, NUM_VAL = 9, 3


def segtune(*arguments: object, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "segtune", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_dataset) -> Path:
    return make_dataset(tmp_path_factory.mktemp("processes") / "dataset", NUM_TRAIN, NUM_VAL)


@pytest.mark.parametrize(("batch_size", "parts"), [pytest.param(2, 1, marks=pytest.mark.slow), (4, 2)])
def test_two_processes_train_as_one(data, tmp_path, batch_size, parts, capsys):
    # Dice, the default, is of each part; cross entropy adds up.
    words = [*OPTIONS, *f"--loss cross-entropy --batch-size {batch_size} --epochs 2 --accumulate {parts}".split()]
    assert main(["train", str(data), str(tmp_path / "1"), *words]) == 0
    assert capsys.readouterr().out.count("Model: ") == 1
    process = segtune("train", data, tmp_path / "2", *words, "--nproc", 2)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    assert output.count("Model: ") == 1
    one, two = (metrics(tmp_path / str(number)) for number in (1, 2))
    for ours, theirs in zip(one, two, strict=True):
        # The first parts of all processes have together the pictures of the first part of one, and so on.
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], rel=1e-3)
        assert theirs["mean_iou"] == pytest.approx(ours["mean_iou"], abs=0.01)
        assert theirs["step"] == ours["step"]
    assert json.loads((tmp_path / "2" / "run.json").read_text())["plan"]["world_size"] == 2


def test_a_killed_process_ends_the_run_which_one_process_resumes(data, tmp_path):
    run = tmp_path / "run"
    process = segtune("train", data, run, *OPTIONS, "--batch-size", 4, "--epochs", 200, "--nproc", 2)
    deadline = time.monotonic() + 200
    while not (run / "last.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "ended by SIGKILL" in output
    assert f"segtune resume {run}" in output
    done = len(metrics(run))
    assert main(["resume", str(run), "--epochs", str(done + 1), "--nproc", "1"]) == 0
    assert [line["epoch"] for line in metrics(run)] == list(range(1, done + 2))


@pytest.mark.slow
def test_two_processes_go_on_where_two_were_stopped(data, tmp_path):
    """The batch norms of each process follow its own pictures; those of the first are the model's."""
    options = [*OPTIONS, "--batch-norm", "train", "--nproc", 2]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for words in (
        ["train", data, whole, *options, "--schedule", "constant", "--warmup", 0, "--epochs", 2],
        ["train", data, halves, *options, "--schedule", "constant", "--warmup", 0, "--epochs", 1],
        ["resume", halves, "--epochs", 2],
    ):
        process = segtune(*words)
        output, _ = process.communicate(timeout=280)
        assert process.returncode == 0, output
    assert load_file(halves / "last.safetensors").keys() == load_file(whole / "last.safetensors").keys()
    for name, tensor in load_file(whole / "last.safetensors").items():
        assert torch.equal(load_file(halves / "last.safetensors")[name], tensor), name


@pytest.mark.slow
def test_fewer_pictures_than_processes_are_warned_of_and_train(data, tmp_path):
    options = [*OPTIONS, "--model", "segformer:efficientnet_lite0", "--batch-size", 1, "--batch-norm", "train"]
    process = segtune("train", data, tmp_path / "run", *options, "--epochs", 1, "--nproc", 2)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    assert "of a batch of 1 pictures each of 2 processes has 0.5" in " ".join(output.split())


@pytest.mark.slow
def test_processes_that_fail_before_there_is_a_run_are_not_to_be_resumed(data, tmp_path):
    process = segtune("train", data, tmp_path / "run", *OPTIONS, "--crop", 3, "--nproc", 2)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 2
    assert "--crop is 3" in output
    assert "segtune resume" not in output


@pytest.mark.slow
def test_the_first_process_alone_looks_at_the_run_folder(data, tmp_path):
    """The second one sees what a run left behind that the first one has replaced, as on a slow network disk."""
    seen_by = [tmp_path / "fresh", tmp_path / "stale"]
    options = [*OPTIONS, "--batch-size", 4, "--epochs", 1]
    process = segtune("train", data, seen_by[1], *options)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    with socket.create_server(("localhost", 0)) as free:
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    processes = [
        segtune(
            "train", data, run, *options, "--overwrite",
            environment={**os.environ, **address, "RANK": str(rank)},  # as launchers of one process a machine do
        )
        for rank, run in enumerate(seen_by)
    ]  # fmt: skip
    for process in processes:
        output, _ = process.communicate(timeout=280)
        assert process.returncode == 0, output
    assert [line["step"] for line in metrics(seen_by[0])] == [3]

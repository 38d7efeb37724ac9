"""A signal to all processes of a training, as Ctrl-C and schedulers send it, ends it cleanly: it can go on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from segtune.cli import main

OPTIONS = [
    "--model", "unet:efficientnet_lite0", "--batch-size", "2", "--crop", "64", "--report-to", "none", "--device", "cpu",
    "--num-workers", "2",
]  # fmt: skip


def segtune(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "segtune", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_to_all_processes_leaves_a_state_to_go_on_from(dataset, number):
    run = dataset.parent / "run"
    training = segtune("train", dataset, run, *OPTIONS, "--epochs", 500)
    deadline = time.monotonic() + 200
    while not (run / "last.safetensors").exists():
        assert time.monotonic() < deadline
        assert training.poll() is None, training.communicate()[0]
        time.sleep(0.1)
    os.killpg(training.pid, number)
    output, _ = training.communicate(timeout=100)
    assert training.returncode == 130, output
    assert "Stopping after this step" in output
    assert "segtune resume" in output
    with pytest.raises(ProcessLookupError):  # no worker is left
        os.killpg(training.pid, 0)
    done = len((run / "metrics.jsonl").read_text().splitlines())
    assert main(["resume", str(run), "--epochs", str(done + 1)]) == 0
    assert len((run / "metrics.jsonl").read_text().splitlines()) == done + 1

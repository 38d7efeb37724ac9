"""The terminal: a live bar and lines must not garble each other."""

import os
import pty
import sys

CODE = """
from pathlib import Path
from segtune.config import TrainConfig
from segtune.training.console_listener import ConsoleListener
from segtune.training.events import EpochDone, RunStarted, StepDone
from segtune.training.plan import Facts, make_plan
plan = make_plan(TrainConfig(Path("d"), Path("r"), epochs=3, batch_size=1), Facts(2, 4, (1, 1), "cpu", 2))
metrics = {
    "train_loss": 0.5, "mean_iou": 0.25, "labelled_mean_iou": 0.25, "pictures_per_second": 3.0, "seconds": 2.0
}
with ConsoleListener() as listener:
    listener(RunStarted(plan, ("a note with [brackets]",), ("sky", "ground")))
    for epoch in (1, 2, 3):
        for step in range(4):
            listener(StepDone(epoch, 4 * epoch + step - 3, 0.5, 1, 0.001, (4 * epoch + step - 3) / 12))
        listener(EpochDone(epoch, 4 * epoch, metrics, True))
    no_step = {"train_loss": None, "mean_iou": 0.25, "labelled_mean_iou": 0.5, "pictures_per_second": 0.0, "seconds": 0}
    listener(EpochDone(4, 12, no_step, False))
"""


def output_in_a_terminal(code: str) -> str:
    """What a program writes to a pseudo-terminal of 120 columns."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "TERM": "xterm", "COLUMNS": "120"})
    chunks = []
    try:
        while chunk := os.read(terminal, 65536):
            chunks.append(chunk)
    except OSError:  # what the end looks like on Linux
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return b"".join(chunks).decode()


def test_lines_stand_alone_beside_the_live_bar():
    out = output_in_a_terminal(CODE)
    lines = [line.split("\x1b[2K")[-1].strip() for line in out.replace("\r", "\n").split("\n")]
    for epoch in (1, 2, 3):
        assert f"epoch {epoch}/3  loss 0.5000  mean IoU 0.2500  3.0 pictures/s  2 s  best so far" in lines
    assert "epoch 4/3  no step  mean IoU 0.2500 (of labelled classes 0.5000)" in lines
    assert any(line.endswith("cross entropy + Dice; seed 0") for line in lines)
    assert "a note with [brackets]" in lines
    assert "class weights: sky 1, ground 1; logit adjustment 0.5" in lines
    assert "12/12 steps" in out


def test_names_do_not_command_the_terminal():
    code = (
        "from segtune.console import messages, output\nfor c in (output, messages): c.print('a\\x1b]52;c;eA==\\x07b')"
    )
    assert output_in_a_terminal(code).count("a\\x1b]52;c;eA==b\r") == 2

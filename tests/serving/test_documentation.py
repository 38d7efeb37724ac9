"""What docs/serving.md shows is run against the server that it starts."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np

from segtune.pictures import read_labels, read_picture

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
SHOWN = "http://127.0.0.1:8000"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_python_of_the_page_run(serving, trained_run, picture_file, predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-pictures").mkdir()
    (tmp_path / "my-pictures" / "x.jpg").write_bytes(picture_file(kind="JPEG"))
    shutil.copytree(trained_run, tmp_path / "runs" / "mine")
    (command,) = "".join(blocks("console")).splitlines()
    program, subcommand, model = shlex.split(command)
    assert (program, subcommand) == ("segtune", "serve")
    expected = predictor.predict(tmp_path / "my-pictures" / "x.jpg").class_ids
    with serving(Path(model), "--backend", "eager") as (address, _):
        for line in "".join(blocks("shell")).splitlines():
            words = shlex.split(line.replace(SHOWN, address), comments=True)
            subprocess.run([*words, "--silent", "--show-error", "--fail"], check=True, capture_output=True)
        names: dict[str, np.ndarray] = {}
        (code,) = blocks("python")
        exec(code.replace(SHOWN, address), names)
    assert np.array_equal(names["class_ids"], expected)
    assert np.array_equal(read_labels(Path("x.png")), expected)
    assert read_picture(Path("over.png")).shape == (72, 96, 3)

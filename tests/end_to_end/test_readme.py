"""Every command that the documentation shows is run, in its order; trainings for a single epoch."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.cli import main, parse
from segtune.config import TrainConfig
from segtune.demo.scenes import draw_scene
from segtune.models.catalog import build_model
from segtune.pictures import read_labels, rgb_png, write_picture

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "console" for line in block.splitlines()]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]
FROM_DOWNLOADS = "./sample_dataset"
"""The command that needs weights from the network: test_original_command.py runs it."""
LABELING_LOOP = ROOT / "docs" / "labeling-loop.md"
"""A round of its own: test_labeling_loop.py runs it."""
SERVING = ROOT / "docs" / "serving.md"
"""Its commands need a server that runs: test_documentation.py beside the server's tests."""
SHOWN_TWICE = "segtune convert EXPORT.zip my-dataset"
"""The README has it, too; what it makes is there already."""


def write_cvat_zip(path, scenes):
    """CVAT for images 1.1, with images: scenes list what lies on top first."""
    images = ""
    with zipfile.ZipFile(path, "w") as archive:
        for name, scene in scenes:
            height, width = scene.image.shape[:2]
            archive.writestr(f"images/{name}.png", rgb_png(scene.image))
            shapes = ""
            for depth, item in enumerate(scene.objects):
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in item.outline)
                shapes += f'<polygon label="{item.class_name}" points="{points}" z_order="{-depth}"/>'
            images += f'<image name="{name}.png" width="{width}" height="{height}">{shapes}</image>'
        archive.writestr("annotations.xml", f"<annotations><version>1.1</version>{images}</annotations>")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the README takes for granted: an export, pictures, weights that the original saved."""
    folder = tmp_path_factory.mktemp("readme")
    scenes = [(f"jump_{index:02}", draw_scene(np.random.default_rng([3, index]), 90, 120)) for index in range(14)]
    write_cvat_zip(folder / "EXPORT.zip", scenes)
    write_picture(folder / "my-pictures" / "x.jpg", scenes[0][1].image)
    for name, scene in scenes[:2]:
        write_picture(folder / "pictures" / f"{name}.jpg", scene.image)
    polygon = '<polygon label="person" points="9,9;60,9;60,50"/>'
    images = "".join(f'<image name="{name}.jpg" width="120" height="90">{polygon}</image>' for name, _ in scenes[:2])
    (folder / "annotations.xml").write_text(f"<annotations>{images}</annotations>")
    torch.save(build_model("deeplabv3_resnet101", 5).state_dict(), folder / "best_DeepLabV3_Skydiver.pth")
    return folder


@pytest.fixture(scope="module")
def after_readme(workplace):
    """The folder when all of the README's commands were typed: the pages go on from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        for command in COMMANDS:
            program, *arguments = shlex.split(re.sub(r"--epochs \d+|--time-budget 5m", "--epochs 1", command))
            assert program == "segtune"
            assert parse(arguments)
            if FROM_DOWNLOADS not in arguments:
                assert main(arguments) == 0, command
    return workplace


@pytest.fixture(scope="module")
def after_pages(after_readme):
    """The same when the pages' commands were typed, too: their Python takes what these make."""
    ran = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(after_readme)
        for page in sorted(set((ROOT / "docs").glob("*.md")) - {LABELING_LOOP, SERVING}):
            blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
            for command in "".join(blocks).splitlines():
                if command != SHOWN_TWICE:
                    assert main(shlex.split(command)[1:]) == 0, command
                    ran += 1
    assert ran >= 14
    return after_readme


def test_commands_of_the_readme_run(after_readme):
    assert len(COMMANDS) >= 6
    labels = [read_labels(path) for path in (after_readme / "my-dataset" / "train" / "Labels").iterdir()]
    assert np.unique(np.concatenate([class_ids.ravel() for class_ids in labels])).size >= 4
    assert (after_readme / "my-predictions" / "overlays" / "x.png").exists()
    assert (after_readme / "skydiver.safetensors").exists()


def test_commands_of_the_pages_run(after_pages):
    assert (after_pages / "runs" / "mine" / "model.onnx").exists()


def test_python_of_the_pages_runs(after_pages, monkeypatch):
    monkeypatch.chdir(after_pages)
    pages = sorted(set((ROOT / "docs").glob("*.md")) - {SERVING})
    blocks = [code for page in pages for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    assert blocks
    for code in blocks:
        exec(code.replace('"my-dataset"', f'"{after_pages / "my-dataset"}"'), {})


@pytest.mark.slow
def test_torchrun_of_the_pages_starts_a_training(after_readme, monkeypatch):
    """On this machine: what names other machines is left out."""
    monkeypatch.chdir(after_readme)
    text = (ROOT / "docs" / "scaling.md").read_text().replace("\\\n", "")
    commands = re.findall(r"torchrun .*", text)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)
        arguments = words[words.index("segtune") + 1 :]
        assert isinstance(parse(arguments), TrainConfig)
    options = ["--model", "unet:efficientnet_lite0", "--epochs", "1", "--device", "cpu", "--report-to", "none"]
    arguments = [{"DATASET": "my-dataset", "RUN": "runs/torchrun"}.get(word, word) for word in arguments]
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "segtune"]
    result = subprocess.run([*program, *arguments, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (after_readme / "runs" / "torchrun" / "model.safetensors").exists()


def test_commands_in_the_text_and_the_table_mean_something():
    shown = re.findall(r"`segtune ([^`]+)`", (ROOT / "README.md").read_text())
    assert len([command for command in shown if command.startswith("train")]) >= 2
    for command in shown:
        assert parse(shlex.split(command))


def test_python_of_the_readme_runs(after_readme, monkeypatch):
    monkeypatch.chdir(after_readme)
    (code,) = PYTHON
    names: dict = {}
    exec(code.replace('time_budget="5m"', "epochs=1"), names)
    assert names["prediction"].class_ids.shape == (90, 120)


def test_commands_of_the_makefile_that_the_readme_names_exist():
    named = re.findall(r"make ([a-z][\w-]*)", (ROOT / "README.md").read_text())
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "setup"} <= set(named) <= set(targets)


def test_pictures_of_the_readme_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text()):
        with Image.open(ROOT / path) as picture:
            assert picture.width > 300

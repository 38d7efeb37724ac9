"""Every command of docs/labeling-loop.md is run, in its order: a whole round; the test plays the person and CVAT."""

import importlib.util
import re
import shlex
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from segtune.annotations.dataset_folder import dataset_classes, find_pairs, find_split
from segtune.cli import main
from segtune.demo.labelme_export import write_labelme_zip
from segtune.demo.scenes import draw_scene
from segtune.pictures import read_labels, write_picture

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "labeling-loop.md").read_text()
COMMANDS = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)).splitlines()
(CVAT_CLI,) = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """What the page takes for granted: an export and a pool of pictures."""
    folder = tmp_path_factory.mktemp("loop")
    scenes = [(f"jump_{index:02}", draw_scene(np.random.default_rng([3, index]), 90, 120)) for index in range(10)]
    write_labelme_zip(folder / "EXPORT.zip", scenes)
    for index in range(6):
        scene = draw_scene(np.random.default_rng([4, index]), 90, 120)
        write_picture(folder / "my-pool" / f"flight_{7 * index:02}.jpg", scene.image)
    return folder


def correct(workplace: Path) -> None:
    """What a person does in CVAT: imports cvat.zip, draws a square on each picture, exports with images."""
    with zipfile.ZipFile(workplace / "to-label" / "cvat.zip") as drawn:
        root = ElementTree.fromstring(drawn.read("annotations.xml"))
    for image in root.iterfind("image"):
        square = {"label": "person", "occluded": "0", "source": "manual", "z_order": "9", "points": "0,0;9,0;9,9;0,9"}
        ElementTree.SubElement(image, "polygon", square)
    with zipfile.ZipFile(workplace / "corrected.zip", "w") as export:
        export.writestr("annotations.xml", ElementTree.tostring(root))
        for path in (workplace / "to-label" / "pictures").iterdir():
            export.write(path, f"images/{path.name}")


def test_a_whole_round(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    assert len(COMMANDS) == 7
    before: dict[str, str] = {}
    for command in COMMANDS:
        if "corrected.zip" in command:
            correct(workplace)
            before = find_split(Path("my-dataset"))
        words = shlex.split(re.sub(r"--epochs \d+", "--epochs 1", command).replace("--count 50", "--count 4"))
        assert words[0] == "segtune"
        assert main(words[1:]) == 0, command
    told = " ".join(capsys.readouterr().out.split())
    assert "0 pictures changed, 4 added" in told
    after = find_split(Path("my-dataset"))
    assert len(after) == len(before) + 4
    assert {stem: after[stem] for stem in before} == before
    person = dataset_classes(Path("my-dataset")).names.index("person")
    pairs = [pair for split in ("train", "val") for pair in find_pairs(Path("my-dataset"), split)]
    corners = [read_labels(pair.labels)[:9, :9] for pair in pairs if pair.stem.startswith("flight")]
    assert [(corner == person).all() for corner in corners] == [True] * 4
    assert Path("drawn/labelme.zip").exists()
    assert Path("runs/round-2/model.safetensors").exists()


def test_the_model_draws_in_cvat(workplace, monkeypatch):
    """After the round, on a stand-in for the server, which tests/labeling/cvat_stand_in.py describes."""
    pytest.importorskip("cvat_cli", reason="the extra cvat is not installed")
    from cvat_cli.__main__ import main as cvat_cli

    path = ROOT / "tests" / "labeling" / "cvat_stand_in.py"
    spec = importlib.util.spec_from_file_location("cvat_stand_in", path)
    stand_in = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "any")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setattr(sys, "argv", ["cvat-cli"])
    pictures = {path.name: path.read_bytes() for path in sorted(Path("my-pool").iterdir())}
    task = stand_in.Task(pictures, [(name, "any") for name in ("person", "airplane", "ground", "sky")])
    with stand_in.cvat_stand_in(task) as address:
        host, port = address.rsplit(":", 1)
        words = shlex.split(CVAT_CLI.replace("http://localhost", host).replace("8080", port))
        assert words[0] == "cvat-cli"
        assert not cvat_cli(words[1:])
    ((_, _, content),) = task.uploaded
    assert {shape["type"] for shape in content["shapes"]} == {"mask"}

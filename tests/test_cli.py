"""The command line: options, help, exit codes."""

import shlex
import subprocess
import sys

import pytest
from PIL import Image

from segtune.annotations.formats import FORMATS
from segtune.cli import main, parse

ORIGINAL = (
    "train ./sample_dataset ./training_output --num_classes 5 --epochs 100 --batch_size 16 --keep_feature_extract"
)


def test_original_command_means_what_it_meant():
    config = parse(ORIGINAL.split())
    assert (config.num_classes, config.epochs, config.batch_size, config.keep_feature_extract) == (5, 100, 16, True)
    assert (config.model, config.weights) == ("deeplabv3_resnet101", "auto")


@pytest.mark.parametrize(
    "options",
    ["-w 1 2.5 1", "-w 1 -w 2.5 -w 1", "-w 1 2.5 --seed 0 -w 1", "--class-weights 1 2.5 1", "--class_weights 1 2.5 1"],
)
def test_class_weights_are_read_as_list_and_repeated(options):
    assert parse(f"train a b {options} --epochs 3".split()).class_weights == (1.0, 2.5, 1.0)


@pytest.mark.parametrize(
    "options", ["--num-classes 5 --keep-feature-extract", "--num_classes 5 --keep_feature_extract"]
)
def test_dashes_and_underscores_mean_the_same(options):
    config = parse(["train", "a", "b", *options.split()])
    assert (config.num_classes, config.keep_feature_extract) == (5, True)


@pytest.mark.parametrize(
    "command",
    [
        "", "convert", "check", "train", "resume", "crossval", "evaluate", "report", "predict", "suggest", "export",
        "serve", "import-weights", "models", "cache", "demo",
    ],
)  # fmt: skip
def test_help_teaches_without_importing_torch(command):
    code = (
        "import sys; from segtune.cli import main\n"
        f"try: main({[*command.split(), '--help']!r})\n"
        "except SystemExit as e: print('exit', e.code)\n"
        "print('torch' in sys.modules, 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("exit 0\nFalse False")
    assert "usage: segtune" in done.stdout


def test_help_of_an_option_is_a_paragraph_and_names_all_formats(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    lines = capsys.readouterr().out.splitlines()
    (formats,) = (line for line in lines if "--format" in line)
    assert all(f" {name}" in formats for name in FORMATS)
    assert all("(default: " in line for line in lines if "│ --" in line)


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "segtune", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_arguments_that_are_no_text_are_told(capsys):
    assert main(["check", "Gem\udce4lde"]) == 2
    assert "Gem\\xe4lde is not written in UTF-8" in capsys.readouterr().err


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("segtune 0.")


@pytest.mark.parametrize(
    "arguments", [["--trian"], ["train"], ["train", "a", "b", "--epochs", "many"], ["predict", "m"]]
)
def test_wrong_words_exit_with_2(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2


@pytest.mark.parametrize(("word", "told"), [("trian", "Did you mean train?"), ("xyz", "There are convert, check, tr")])
def test_a_wrong_command_is_told_the_right_one(word, told, capsys):
    assert main([word, "a", "b"]) == 2
    error = capsys.readouterr().err
    assert f"There is no command {word}." in error
    assert told in error


def test_a_wrong_option_is_not_explained_by_those_of_other_commands(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "a", "b", "--overwrite"])
    told = capsys.readouterr().err
    assert "--overwrite" in told
    assert "segtune check" not in told


def test_a_conversion_that_covers_classes_is_to_be_made_again(shared_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert main(["convert", str(shared_data / "skydiving"), "."]) == 0
    told = capsys.readouterr().out
    assert "No pixel is left of airplane, person." in told
    assert "segtune check" not in told
    command = told[told.index("Next: ") + len("Next: ") :]
    assert main(shlex.split(command)[1:]) == 0
    assert (tmp_path / "here-in-order" / "classes.yaml").exists()
    told = capsys.readouterr().out
    assert "Next: segtune check" in told
    assert "--paint-order" not in told


def test_objects_outside_their_picture_are_not_covered(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    source = tmp_path / "export"
    source.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (20, 20)).save(source / f"{name}.jpg")
        corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((50, 50), (60, 50), (60, 60)))
        shape = f"<object><name>far</name><polygon>{corners}</polygon></object>"
        shape += shape.replace("far", "near").replace("50", "5").replace("60", "15")
        (source / f"{name}.xml").write_text(f"<annotation><filename>{name}.jpg</filename>{shape}</annotation>")
    assert main(["convert", str(source), str(tmp_path / "dataset")]) == 0
    told = capsys.readouterr().out
    assert "objects without a pixel inside their picture: 2" in told
    assert "Next: segtune check" in told


def test_models_lists_names_and_licences(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "deeplabv3_resnet101" in out
    assert "Apache-2.0" in out


def test_models_lists_encoders_by_word(capsys):
    assert main(["models", "resnet18"]) == 0
    assert "resnet18" in capsys.readouterr().out
    assert main(["models", "resnoot"]) == 2

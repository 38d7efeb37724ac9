"""Class tables and classes.yaml."""

import json

import pytest

from segtune.classes import ClassTable, class_table, distinct_color, numbered_classes, read_classes, write_classes
from segtune.errors import UserError

AWKWARD = [
    "sky", "yes", "null", "1", "traffic light: red", "a, b", "[x]", "Straße", "# no", "-", "{y}", "'", "true ",
    "a\x85b", "a\u2028b", "a\nb",
]  # fmt: skip


def test_table_reads_back_as_written(tmp_path):
    table = class_table(AWKWARD, ignore_value=200, paint_order=AWKWARD[::-1])
    write_classes(tmp_path / "classes.yaml", table)
    assert read_classes(tmp_path / "classes.yaml") == table


def test_plain_names_are_enough(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [floor, wall]\n")
    assert read_classes(tmp_path / "classes.yaml").names == ("floor", "wall")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a, a]", "repeated: a"),
        ("classes: []", "0 classes"),
        ("names: [a]", "not a class table"),
        ("- a", "not a class table"),
        ("classes: [{id: 1, name: a}]", "class ids are 1"),
        ("classes: [{name: a, color: [1, 2]}]", "not a class table"),
        ("classes: [{name: !!bool x}]", "could not be read as YAML"),
        ("classes: [{name: a, color: [1, 2, 999]}]", "0 to 255"),
        ("classes: [a, b]\nignore_value: 1", "also the id of class 'b'"),
        ("classes: [a]\nignore_value: 300", "0 to 255"),
        ("classes: sky", "not a list"),
        ("classes: [[a]]", "not a word"),
        ("classes: [a]\nignore_value: .inf", "not a class table"),
        ("classes: [a\n", "could not be read as YAML"),
        ('classes: ["\\UFFFFFFFF"]', "could not be read as YAML"),
        ('classes: ["\\U00110000"]', "could not be read as YAML"),
        ('classes: ["half \\ud83d"]', "not a class table"),
        ("classes: !!python/object/apply:os.system [ls]", "could not be read as YAML"),
    ],
)
def test_impossible_tables_are_refused(tmp_path, text, message):
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_classes(tmp_path / "classes.yaml")


def test_all_words_are_names(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [no, yes, 1.0, {name: 2024-02-30}, {name: on, color: [1, 2, 3]}]")
    table = read_classes(tmp_path / "classes.yaml")
    assert table.names == ("no", "yes", "1.0", "2024-02-30", "on")
    assert table.colors[4] == (1, 2, 3)


def test_colors_of_255_classes_differ():
    assert len({distinct_color(index) for index in range(255)}) == 255


def test_palette_shows_ignored_values_in_white():
    palette = numbered_classes(11, ignore_value=11).palette
    assert palette.shape == (256, 3)
    assert palette[11].tolist() == palette[255].tolist() == [255, 255, 255]


def test_lengths_must_agree():
    with pytest.raises(UserError, match="colours for"):
        ClassTable(("a", "b"), ((0, 0, 0),))


def test_names_may_be_escaped_as_json_does_it(tmp_path):
    (tmp_path / "classes.yaml").write_text(json.dumps({"classes": ["floor", "Gehölz 😀"]}))
    assert read_classes(tmp_path / "classes.yaml").names == ("floor", "Gehölz 😀")

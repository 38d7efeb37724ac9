"""Which class each label becomes."""

import shlex
from collections import Counter

import pytest

from segtune.annotations.annotated_image import DeclaredClass
from segtune.annotations.class_choice import choose_classes
from segtune.config import ConversionOptions
from segtune.errors import UserError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def choose(labels="", declared=(), complete=False, **options):
    return choose_classes(ConversionOptions(**options), Counter(labels.split()), declared, complete)


@pytest.mark.parametrize(
    ("labels", "declared", "options", "names"),
    [
        ("sky car", "", {}, "background car sky"),
        ("sky car", "sky bus car", {}, "background sky bus car"),
        ("sky new", "sky car", {}, "background sky car new"),
        ("sky car", "", {"classes": "sky,car"}, "background sky car"),
        ("sky car", "", {"classes": "sky,background,car"}, "background sky car"),
        ("sky car", "", {"classes": "sky,car,bus"}, "background sky car bus"),
        ("sky car", "", {"background": "ignore"}, "car sky"),
        ("sky car", "", {"background": "error"}, "car sky"),
        ("sky Background", "", {"background": "class"}, "background sky"),
        ("sky background", "", {"background": "ignore"}, "sky"),
        ("sky background", "", {"background": "error"}, "background sky"),
        ("sky void", "", {"background": "class"}, "background sky"),
        ("sky void", "", {"classes": "sky,void"}, "background sky void"),
        ("sky void", "", {"ignore_labels": "void"}, "background sky"),
        ("sky void", "", {"map": "void=background"}, "background sky"),
        ("sky _background_ __ignore__", "", {}, "background sky"),
        ("sky car", "sky background", {"map": "car=sky"}, "background sky"),
    ],
)
def test_names_and_their_order(labels, declared, options, names):
    choice = choose(labels, [DeclaredClass(name) for name in declared.split()], **options)
    assert choice.table.names == tuple(names.split())


@pytest.mark.parametrize(
    ("declared", "names", "background"),
    [("sky car", "sky car", "error"), ("sky background car", "background sky car", "class")],
)
def test_label_images_need_no_background(declared, names, background):
    choice = choose("sky car", [DeclaredClass(name) for name in declared.split()], complete=True)
    assert choice.table.names == tuple(names.split())
    assert choice.table.background == background


@pytest.mark.parametrize(
    ("options", "ids", "outside"),
    [
        ({"background": "class"}, {"sky": 1, "background": 0, "void": 255, None: 255}, 0),
        ({"background": "ignore"}, {"sky": 0, "background": 255, "void": 255, None: 255}, 255),
        ({"background": "error"}, {"sky": 1, "background": 0, "void": 255, None: 255}, 255),
        ({"background": "class", "map": "void=sky"}, {"sky": 1, "background": 0, "void": 1, None: 255}, 0),
        ({"background": "class", "ignore_labels": "sky"}, {"sky": 255, "background": 0, "void": 255, None: 255}, 0),
    ],
)
def test_ids(options, ids, outside):
    choice = choose("sky background void" + (" road" if "ignore_labels" in options else ""), **options)
    assert {label: choice.ids[label] for label in ids} == ids
    assert choice.outside == outside


def test_colours_of_the_export_stay_and_are_told_apart():
    declared = [DeclaredClass("sky", RED), DeclaredClass("car", BLUE), DeclaredClass("bus", BLUE), DeclaredClass("van")]
    colors = choose("sky", declared).table.colors
    assert colors[:3] == ((0, 0, 0), RED, BLUE)
    assert len(set(colors)) == 5


def test_merged_classes_take_the_first_colour():
    table = choose(
        "car bus", [DeclaredClass("car", RED), DeclaredClass("bus", BLUE)], map="car=vehicle,bus=vehicle"
    ).table
    assert table.colors == ((0, 0, 0), RED)


def test_paint_order_ranks_labels_by_their_class_and_ignored_ones_on_top():
    choice = choose("car bus sky dust", map="car=vehicle,bus=vehicle", ignore_labels="dust", paint_order="vehicle,sky")
    assert choice.ranks == {"car": 0, "bus": 0, "sky": 1, "dust": 2, None: 2}


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("sky unlabelled", {}, "'unlabelled': what do these"),
        ("sky background Void", {}, "'Void', 'background'|'background', 'Void'"),
        ("sky ignore", {}, "--ignore-labels"),
        ("sky car", {"classes": "sky"}, r"car \(1 objects\)"),
        ("sky car", {"map": "car"}, "OLD=NEW"),
        ("sky car", {"map": "car=a,car=b"}, "twice"),
        ("sky car", {"map": "cat=a"}, "Did you mean car"),
        ("sky car", {"ignore_labels": "cat"}, "Did you mean car"),
        ("sky car", {"paint_order": "sky"}, "leaves out classes: car"),
        ("sky car", {"paint_order": "sky,car,bus"}, "does not have: bus"),
        ("sky", {"ignore_labels": "sky"}, "No class is left"),
    ],
)
def test_what_does_not_fit_or_is_in_doubt_is_said(labels, options, message):
    with pytest.raises(UserError, match=message):
        choose(labels, **options)


@pytest.mark.parametrize("options", [{"ignore_labels": "background"}, {"map": "background=floor"}])
def test_a_background_that_is_given_away_leaves_no_class(options):
    """Where each pixel carries a label, nothing is outside of all objects."""
    names = choose("sky car", [DeclaredClass("background")], complete=True, **options).table.names
    assert "background" not in names


def test_paint_order_that_is_proposed_is_taken():
    labels = Counter(["cup, glass", "big plate", "ant"])
    with pytest.raises(UserError, match="leaves out classes: cup, glass") as told:
        choose_classes(ConversionOptions(paint_order="big plate,ant"), labels, (), False)
    assert told.value.hint.endswith("with cup, glass in the right place: --paint-order 'big plate,ant'")
    with pytest.raises(UserError, match="does not have: big plaet") as told:
        choose_classes(ConversionOptions(paint_order='big plaet,ant,"cup, glass"'), labels, (), False)
    proposed = shlex.split(told.value.hint)[-1]
    table = choose_classes(ConversionOptions(paint_order=proposed), labels, (), False).table
    assert table.paint_order == ("big plate", "ant", "cup, glass")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("sky", {"classes": "sky,car"}, "no object has the class car"),
        ("Kidney kidney", {}, "'Kidney', 'kidney' differ only"),
        ("cafe\u0301 caf\u00e9", {}, "differ only"),
        ("sky car", {}, ""),
    ],
)
def test_what_looks_like_a_mistake_is_warned_of(labels, options, message):
    assert message in " ".join(choose(labels, **options).warnings)
    assert bool(message) == bool(choose(labels, **options).warnings)

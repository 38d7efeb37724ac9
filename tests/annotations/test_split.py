"""Which pictures are for training and which for validation."""

import time
from dataclasses import replace

import pytest

from segtune.annotations.split import Candidate, assign_folds, assign_splits
from segtune.errors import UserError


def numbered(count, subset="", name="{}.jpg", **options):
    return [Candidate(name.format(index), subset, **options) for index in range(count)]


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.001), (2, 0.999), (10, 0.2), (100, 0.01)])
def test_both_splits_get_pictures(count, fraction):
    assert set(assign_splits(numbered(count), fraction).splits) == {"train", "val"}


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_about_the_asked_fraction_goes_to_val(fraction):
    assert assign_splits(numbered(2000), fraction).splits.count("val") == pytest.approx(2000 * fraction, rel=0.1)


def test_pictures_stay_where_they_are_when_others_come():
    few = assign_splits(numbered(50), 0.3).splits
    more = assign_splits([*numbered(70, name="new_{}.jpg"), *numbered(50)[::-1]], 0.3).splits
    assert more[70:] == few[::-1]


def test_subsets_of_the_export_are_kept():
    pictures = [*numbered(2, "train"), *numbered(1, "val"), *numbered(1, "test"), *numbered(1, "")]
    assert assign_splits(pictures).splits == ["train", "train", "val", "test", "train"]


def test_test_pictures_stay_out_of_both():
    splits = assign_splits([*numbered(4, "train"), *numbered(3, "test")], 0.5).splits
    assert splits[4:] == ["test"] * 3
    assert set(splits[:4]) == {"train", "val"}


def test_copies_stay_together_where_names_have_no_suffix():
    pictures = [Candidate(f"{stem}_jpg.rf.{copy:032x}") for stem in range(40) for copy in range(3)]
    splits = assign_splits(pictures, 0.5).splits
    assert all(len(set(splits[first : first + 3])) == 1 for first in range(0, 120, 3))
    assert set(splits) == {"train", "val"}


def test_a_single_subset_is_split():
    assert set(assign_splits(numbered(10, "train")).splits) == {"train", "val"}


def test_every_class_lands_in_both_splits():
    pictures = [
        Candidate(f"{i}.jpg", classes=frozenset({"road"} | ({"tram"} if i in {3, 8} else set()))) for i in range(40)
    ]
    result = assign_splits(pictures, 0.2)
    of_tram = {result.splits[3], result.splits[8]}
    assert of_tram == {"train", "val"}


def test_a_class_of_one_picture_stays_and_the_others_are_not_robbed():
    pictures = [Candidate(f"{i}.jpg", classes=frozenset({f"class {i}", "road"})) for i in range(30)]
    splits = assign_splits(pictures, 0.2).splits
    assert splits == assign_splits(numbered(30), 0.2).splits


ROBOFLOW_CAPITALS = [Candidate(f"img{i}_JPEG.RF.{copy:032X}.JPG") for i in range(12) for copy in range(3)]
ROBOFLOW_PHONES = [Candidate(f"img{i}_HEIC.rf.{copy:032x}.jpg") for i in range(12) for copy in range(3)]
ROBOFLOW = [Candidate(f"img{i}_jpg.rf.{copy:032x}.jpg") for i in range(12) for copy in range(3)]
VIDEOS = [Candidate(f"video{letter}_{i:04}.jpg") for letter in "abcdefgh" for i in range(5)]


@pytest.mark.parametrize(
    ("pictures", "group_by", "size", "note"),
    [
        (ROBOFLOW, "auto", 3, "Roboflow"),
        (ROBOFLOW_CAPITALS, "auto", 3, "Roboflow"),
        (ROBOFLOW_PHONES, "auto", 3, "Roboflow"),
        ([*VIDEOS, *numbered(5, name="{:04}.jpg")], "auto", 5, "series of numbered pictures (numbers alone, video"),
        (VIDEOS, "auto", 5, "8 series of numbered pictures"),
        (VIDEOS, "video(.)_", 5, ""),
        (VIDEOS[:10] + numbered(20), "video[ab]", 5, ""),
        (VIDEOS, "none", 1, ""),
        (VIDEOS[:20], "auto", 1, "4 series of numbered pictures"),
        (numbered(40, name="frame_{:04}.jpg"), "auto", 1, "flatter"),
        (numbered(40, name="IMG_{:04}.jpg"), "auto", 1, ""),
    ],
)
def test_groups_stay_together(pictures, group_by, size, note):
    result = assign_splits(pictures, 0.3, group_by)
    grouped = result.splits[:10] if "[ab]" in group_by else result.splits
    fives = [set(grouped[start : start + max(size, 5)]) for start in range(0, len(grouped), size if size > 1 else 5)]
    if size > 1:
        assert all(len(set(grouped[start : start + size])) == 1 for start in range(0, len(grouped), size))
    else:
        assert any(len(five) == 2 for five in fives)
    assert set(result.splits) == {"train", "val"}
    assert note in " ".join(result.notes)
    assert bool(note) == bool(result.notes)


def test_names_of_classes_are_not_taken_for_videos():
    pictures = [Candidate(f"{name}_{i}.jpg", classes=frozenset({name})) for name in "abcdef" for i in range(5)]
    splits = assign_splits(pictures).splits
    assert all(set(splits[start : start + 5]) == {"train", "val"} for start in range(0, 30, 5))


def test_pictures_of_an_earlier_dataset_stay():
    earlier = [Candidate(f"{i}.jpg", earlier="val" if i % 2 else "train") for i in range(10)]
    splits = assign_splits([*earlier, *numbered(30, name="new_{}.jpg")], 0.2).splits
    assert splits[:10] == ["train", "val"] * 5


def dataset_of(pictures, splits):
    """The same pictures, to be split like this."""
    return [replace(picture, earlier=split) for picture, split in zip(pictures, splits, strict=True)]


FEW_VIDEOS = [Candidate(f"clip{letter}_{i:04}.jpg") for letter in "abcd" for i in range(5)]
FIRST_FRAMES = [Candidate(f"video{letter}_0000.jpg") for letter in "abcdefgh"]


@pytest.mark.parametrize("subsets", [False, True])
@pytest.mark.parametrize("group_by", ["auto", "none", "(.+)_"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (FEW_VIDEOS, VIDEOS),  # four series are no groups, twelve are
        (FIRST_FRAMES, VIDEOS[1:]),  # pictures that become series
        (VIDEOS, numbered(60, name="other{}.jpg")),  # groups that are too few among so many
        (VIDEOS, [Candidate(f"videoa_{i:04}.jpg") for i in range(5, 90)]),  # a series that takes over half
        (VIDEOS, [Candidate(f"x{i}_0001.jpg", classes=frozenset({f"class {i}"})) for i in range(9)]),
        (numbered(12, name="{}_jpg.rf.abc.jpg"), numbered(12, name="{}_jpg.rf.def.jpg")),  # the first copies
    ],
)
def test_pictures_of_an_earlier_dataset_stay_whatever_the_names_look_like_by_now(old, new, group_by, subsets):
    splits = assign_splits(old, 0.3).splits
    if subsets:  # that the export has by now, and that say something else
        old = [
            replace(picture, subset="train" if split == "val" else "val")
            for picture, split in zip(old, splits, strict=True)
        ]
    assert assign_splits([*new, *dataset_of(old, splits)], 0.3, group_by).splits[len(new) :] == splits


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (VIDEOS, [Candidate(f"video{letter}_{i:04}.jpg") for letter in "abcdefgh" for i in range(5, 9)]),
        # Names no longer look like series; the earlier dataset says that they are.
        (VIDEOS, [*(Candidate(f"video{letter}_9999.jpg") for letter in "abcdefgh"), *numbered(90, name="x{}y.jpg")]),
        (ROBOFLOW, [Candidate(f"img{i}_jpg.rf.fff.jpg") for i in range(12)]),
    ],
)
def test_new_pictures_of_a_group_join_it_where_the_earlier_dataset_has_it(old, new):
    splits = assign_splits(old, 0.3).splits
    of = {picture.name[: picture.name.index("_")]: split for picture, split in zip(old, splits, strict=True)}
    together = assign_splits([*dataset_of(old, splits), *new], 0.7).splits
    for picture, split in zip([*old, *new], together, strict=True):
        assert split == of.get(picture.name.split("_")[0], split)


def test_groups_that_the_earlier_dataset_tore_apart_are_told():
    old = dataset_of(VIDEOS, ["val" if i % 5 == 0 else "train" for i in range(40)])
    result = assign_splits([*old, *(Candidate(f"video{letter}_0007.jpg") for letter in "abcdefgh")])
    assert result.splits[40:] == ["train"] * 8
    assert "40 of 48 pictures stay" in " ".join(result.notes)
    assert "8 of these groups in more than one split" in " ".join(result.notes)


def test_copies_of_single_pictures_may_come_later():
    single = [Candidate(f"img{i}_jpg.rf.{i:032x}.jpg") for i in range(40)]
    copies = [Candidate(f"img{i}_jpg.rf.{i + 99:032x}.jpg") for i in range(40)]
    splits = assign_splits(single, 0.3).splits
    assert assign_splits([*single, *copies], 0.3).splits == [*splits, *splits]


@pytest.mark.parametrize(
    ("pictures", "fraction", "group_by", "message"),
    [
        (numbered(10), 0.0, "auto", "between 0 and 1"),
        (numbered(10), 1.0, "auto", "between 0 and 1"),
        ([], 0.2, "auto", "left for train and val; there are none at all"),
        (numbered(1), 0.2, "auto", "left for train and val"),
        (numbered(3, "test"), 0.2, "auto", "left for train and val; there are 3 for test"),
        (numbered(3, earlier="train"), 0.2, "auto", "left for val; there are 3 for train"),
        (numbered(3, "val", earlier="train") + numbered(3, "train"), 0.2, "auto", "left for val"),
        (numbered(10), 0.2, "(", "no regular expression"),
        (numbered(10, name="a_{}.jpg"), 0.2, "(a)_", "one group"),
    ],
)
def test_impossible_splits_are_refused(pictures, fraction, group_by, message):
    with pytest.raises(UserError, match=message):
        assign_splits(pictures, fraction, group_by)


@pytest.mark.parametrize("name", ["1" * 4000 + "x", "frame" * 800 + "x", "a_jpg.rf." * 400 + "-", "-" * 4000])
def test_long_names_take_no_time(name):
    start = time.process_time()
    assign_splits([Candidate(f"{name}{number}x.png") for number in range(20)])
    assert time.process_time() - start < 5


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_folds_keep_groups_together_and_are_of_about_one_size(num_folds):
    pictures = [Candidate(f"ride{ride}_{frame:03}.jpg") for ride in range(12) for frame in range(ride + 1)]
    folds, notes = assign_folds(pictures, num_folds, r"(ride\d+)_")
    assert notes == []
    assert set(folds) == set(range(num_folds))
    for ride in range(12):
        members = {
            fold for picture, fold in zip(pictures, folds, strict=True) if picture.name.startswith(f"ride{ride}_")
        }
        assert len(members) == 1
    sizes = [folds.count(fold) for fold in range(num_folds)]
    assert max(sizes) - min(sizes) <= 6
    assert assign_folds(pictures[::-1], num_folds, r"(ride\d+)_")[0] == folds[::-1]

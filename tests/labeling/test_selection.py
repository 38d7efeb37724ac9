"""Which pictures are chosen, on features that are written down."""

import zlib

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.near_duplicates import thumbnail
from segtune.labeling.selection import RankCandidate, neighboring_frames, rank


def candidate(name: str, uncertainty: float, angle: float, *, like: int | None = None, is_labeled: bool = False):
    """A picture whose features are a direction; those of the same ``like`` show the same."""
    seed = zlib.crc32(name.encode()) if like is None else like
    small = np.random.default_rng(seed).uniform(0, 255, (32, 32)).astype(np.float32)
    features = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return RankCandidate(name, uncertainty, features, small, is_labeled)


def names(candidates: list[RankCandidate], count: int) -> list[str]:
    return [candidates[choice.index].name for choice in rank(candidates, count)]


def test_first_is_the_least_sure():
    assert names([candidate("a.x", 0.1, 0), candidate("b.x", 0.3, 1), candidate("c.x", 0.2, 2)], 1)[0] == "b.x"


def test_next_is_far_from_it():
    pool = [candidate("a.x", 0.3, 0.0), candidate("b.x", 0.29, 0.01), candidate("c.x", 0.1, 2.0)]
    assert names(pool, 3) == ["a.x", "c.x", "b.x"]


def test_far_from_labeled_ones():
    pool = [candidate("a.x", 0.3, 0.0), candidate("b.x", 0.25, 2.0), candidate("l.x", 0, 0.01, is_labeled=True)]
    assert names(pool, 2) == ["b.x", "a.x"]


def test_copies_come_last_and_are_named():
    pool = [
        candidate("a.x", 0.3, 0.0, like=1), candidate("b.x", 0.9, 1.0, like=1), candidate("c.x", 0.01, 2.0, like=2),
    ]  # fmt: skip
    choices = rank(pool, 3)
    assert [choice.index for choice in choices] == [1, 2, 0]
    assert [choice.like for choice in choices] == [None, None, 1]


def test_one_of_each_scene_comes_first_however_many_copies_there_are():
    generator = np.random.default_rng(0)
    scenes = generator.uniform(0, 255, (5, 32, 32))
    pool = []
    for number in range(300):
        noisy = (scenes[number % 5] + generator.normal(0, 4, (32, 32))).astype(np.float32)
        features = generator.normal(0, 1, 8).astype(np.float32)
        pool.append(RankCandidate(f"{number}th.x", float(generator.uniform(0.1, 1)), features, noisy))
    choices = rank(pool, 20)
    assert {choice.index % 5 for choice in choices[:5]} == set(range(5))
    assert [choice.like is None for choice in choices] == [True] * 5 + [False] * 295
    assert all(choice.like is None or choice.like % 5 == choice.index % 5 for choice in choices)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 9])
def test_all_are_ranked_once_and_labeled_ones_never(count):
    pool = [candidate(f"{name}.x", 0.1, angle) for angle, name in enumerate("abcd")]
    pool.append(candidate("l.x", 0.9, 3, is_labeled=True))
    choices = rank(pool, count)
    assert sorted(choice.index for choice in choices) == [0, 1, 2, 3]


def test_of_equal_ones_the_first_comes_first():
    pool = [candidate(f"{name}.x", 0.1, 1.0) for name in "abcd"]
    assert names(pool, 4) == ["a.x", "b.x", "c.x", "d.x"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["v_001.jpg", "v_003.jpg", "v_002.jpg"], {(0, 2), (1, 2)}),
        (["v_010.jpg", "v_040.jpg", "v_070.jpg", "v_900.jpg"], {(0, 1), (1, 2)}),
        (["v_1.jpg", "w_2.jpg"], set()),
        (["day/v_1.jpg", "night/v_2.jpg"], set()),
        (["cat.jpg", "dog.jpg"], set()),
        (["v_99999999999999999999999.jpg", "v_1.jpg"], set()),
    ],
)
def test_frames_next_to_each_other(files, expected):
    assert {tuple(sorted(pair)) for pair in neighboring_frames(files)} == expected


def frames(correlation: float, number: int = 5) -> list[RankCandidate]:
    """Frames of a video, each of which correlates with the next by so much."""
    generator = np.random.default_rng(0)
    values = generator.normal(0, 1, (32, 32))
    pool = []
    for place in range(number):
        features = np.array([np.cos(place / 3), np.sin(place / 3)], np.float32)
        small = (128 + 30 * values).astype(np.float32)
        pool.append(RankCandidate(f"v_{place:03}.jpg", 0.5 - place / 100, features, small))
        values = correlation * values + np.sqrt(1 - correlation**2) * generator.normal(0, 1, (32, 32))
    return pool


def test_neighboring_frames_of_one_view_wait():
    assert set(names(frames(0.945), 3)[:3]) == {"v_000.jpg", "v_002.jpg", "v_004.jpg"}


@pytest.mark.parametrize("correlation", [0.0, 0.8, 0.9])
def test_neighboring_frames_of_other_views_do_not_wait(correlation):
    assert [choice.like for choice in rank(frames(correlation), 5)] == [None] * 5


def test_flat_neighbors_are_not_compared():
    flat = np.zeros((32, 32), np.float32)
    pool = [RankCandidate(f"v_{place}.jpg", 0.5, np.ones(2, np.float32), flat) for place in range(2)]
    assert [choice.like for choice in rank(pool, 2)] == [None, None]


def test_few_of_the_pictures_of_a_drive_wait(shared_data):
    pool = []
    for path in sorted((shared_data / "camvid/train/Images").iterdir()):
        small = thumbnail(Image.open(path))
        pool.append(RankCandidate(path.name, 0.5, small[::4, ::4].ravel(), small))
    choices = rank(pool, len(pool))
    waiting = sum(choice.like is not None for choice in choices)
    assert 0.1 < waiting / len(pool) < 0.2

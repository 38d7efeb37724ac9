"""Mixing: picture and labels of the other sample arrive in the same places."""

import numpy as np
import pytest

from segtune.classes import IGNORE
from segtune.data.mix import CopyPaste, CutMix
from segtune.data.sample import Sample

SIZE = 40


def sample(labels, name="x") -> Sample:
    """Pixels whose value is twice their label."""
    labels = np.broadcast_to(np.asarray(labels, np.uint8), (SIZE, SIZE)).copy()
    return Sample(np.repeat((labels * np.uint8(2))[:, :, None], 3, axis=2), labels, name)


def objects() -> Sample:
    """Class 1 over more than half, 2, 3 and 4 in stripes, and a part that is ignored."""
    labels = np.ones(SIZE, np.uint8)
    labels[:4], labels[4:8], labels[8:12], labels[12:16] = 2, 3, 4, IGNORE
    return sample(labels, "other")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("mix", [CutMix(1), CopyPaste(1)])
def test_picture_and_labels_stay_together_and_nothing_is_written_into(mix, seed):
    mine, other = sample(9), objects()
    for values in (mine.image, mine.labels, other.image, other.labels):
        values.flags.writeable = False
    mixed = mix(mine, other, np.random.default_rng(seed))
    assert (mixed.image == (mixed.labels * np.uint8(2))[:, :, None]).all()
    assert mixed.name == "x"
    assert mixed.image.dtype == mixed.labels.dtype == np.uint8


def test_cutmix_puts_in_one_rectangle_of_any_size():
    shares = []
    for seed in range(300):
        put_in = CutMix(1)(sample(0), sample(1), np.random.default_rng(seed)).labels == 1
        rows, columns = np.flatnonzero(put_in.any(1)), np.flatnonzero(put_in.any(0))
        assert put_in.sum() == len(rows) * len(columns)
        assert not len(rows) or (len(rows), len(columns)) == (np.ptp(rows) + 1, np.ptp(columns) + 1)
        shares.append(put_in.mean())
    assert min(shares) < 0.05
    assert max(shares) > 0.8


def test_copy_paste_takes_half_of_the_classes_whole_but_no_scenery():
    seen = set()
    for seed in range(60):
        mixed = CopyPaste(1)(sample(9), objects(), np.random.default_rng(seed))
        pasted = set(np.unique(mixed.labels)) - {9}
        assert len(pasted) == 2
        assert all(((mixed.labels == index) == (objects().labels == index)).all() for index in pasted)
        seen |= pasted
    assert seen == {2, 3, 4}


@pytest.mark.parametrize("labels", [5, IGNORE])
def test_copy_paste_of_scenery_alone_changes_nothing(labels):
    assert (CopyPaste(1)(sample(9), sample(labels), np.random.default_rng(0)).labels == 9).all()

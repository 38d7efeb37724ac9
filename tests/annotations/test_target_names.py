"""What pictures are called in a dataset: by their own names where these tell them apart, a folder's all alike."""

import pytest

from segtune.annotations.target_names import target_names


@pytest.mark.parametrize(
    ("pictures", "names"),
    [
        (["a/x.jpg", "b/y.jpg"], ["x.jpg", "y.jpg"]),
        (["a/x.jpg", "b/x.jpg"], ["a_x.jpg", "b_x.jpg"]),
        (["a/x.jpg", "b/X.png", "x/y.jpg"], ["a_x.jpg", "b_X.png", "y.jpg"]),
        # The frames that only the longer video has are named like its others.
        (["a/0.jpg", "a/1.jpg", "b/0.jpg", "c/2.jpg"], ["a_0.jpg", "a_1.jpg", "b_0.jpg", "2.jpg"]),
    ],
)
def test_folders_stand_before_all_names_where_one_needs_them(pictures, names):
    assert target_names(pictures) == names

"""An even selection."""

import pytest

from segtune.spread import spread


@pytest.mark.parametrize(
    ("count", "number", "chosen"),
    [
        (0, 3, []), (2, 3, [0, 1]), (3, 3, [0, 1, 2]), (7, 6, [0, 1, 2, 3, 4, 5]), (23, 4, [0, 5, 11, 17]),
        (9, 1, [0]), (9, 0, []),
    ],
)  # fmt: skip
def test_so_many_are_chosen_from_all_parts(count, number, chosen):
    assert list(spread(range(count), number)) == chosen

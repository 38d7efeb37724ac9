"""An even selection of many things."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], number: int) -> Sequence[Item]:
    """``number`` of the items, in their order and evenly chosen from the first on; all where there are no more."""
    if len(items) <= number:
        return items
    return [items[index * len(items) // number] for index in range(number)]

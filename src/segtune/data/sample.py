"""Sample: a picture with its labels, as read from disk and as augmented."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One picture and its labels.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        labels: uint8 (H, W), class ids; ``IGNORE`` (255) where a pixel doesn't count.
        name: What to call it in messages.
    """

    image: Array
    labels: Array
    name: str

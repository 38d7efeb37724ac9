"""What is in a picture, as a vector: the encoder's features where the backend has them, else pooled probabilities."""

from collections.abc import Callable

import numpy as np

from segtune.arrays import Array, Floats
from segtune.labeling.uncertainty import Look, look_at
from segtune.prediction.predictor import Predictor


class FeaturedLooks:
    """Looks at pictures, and keeps what the encoder saw in them.

    Args:
        predictor: The model. PyTorch has an encoder to watch; of other runtimes the logits are all that there is.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._seen: list[Floats] = []
        watch: Callable[[Callable[[Floats], None]], bool] | None = getattr(predictor.backend, "watch_encoder", None)
        self.has_encoder = watch is not None and watch(self._seen.append)

    def look(self, picture: Array) -> tuple[Look, Floats]:
        """A picture, uint8 (H, W, 3) RGB -> what the model says of it, and its features, float32 (F,)."""
        self._seen.clear()
        look = look_at(self.predictor, picture)
        # A large picture is seen tile by tile.
        features: Floats = np.stack(self._seen).mean(axis=0) if self.has_encoder else look.pooled
        return look, features

"""The original project's validation: centre crops in batches, mean IoU without class 0, averaged over the batches.

Kept to choose its best weights as it did. The scores that segtune reports come from ``evaluation``.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from segtune.classes import IGNORE
from segtune.data.batch import Batch
from segtune.preprocessing import Preprocessing


@torch.no_grad()
def mean_iou_over_batches(
    net: nn.Module, batches: Iterable[Batch], preprocessing: Preprocessing, num_classes: int, device: torch.device
) -> float | None:
    """The original's score; None where no batch could be scored (batches of one picture are left out, as there)."""
    net.eval()
    means = []
    for batch in batches:
        if len(batch) == 1:
            continue
        height, width = batch.labels.shape[1:]
        logits = net(preprocessing.normalize(batch.images.to(device)))[:, :, :height, :width]
        ious = ious_without_first(logits.argmax(dim=1).cpu().numpy(), batch.labels.numpy(), num_classes)
        if ious:
            means.append(float(np.mean(ious)))
    return float(np.mean(means)) if means else None


def ious_without_first(
    class_ids: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], num_classes: int
) -> list[float]:
    """IoU of each of the classes 1 … num_classes - 1 that labels or predictions have.

    Args:
        class_ids: Predictions, any shape.
        labels: Labels of the same shape; ``IGNORE`` doesn't count.
        num_classes: The number of classes, class 0 included.
    """
    counted = labels != IGNORE
    ious = []
    for index in range(1, num_classes):
        predicted, labelled = (class_ids == index) & counted, labels == index
        union = int((predicted | labelled).sum())
        if union:
            ious.append(int((predicted & labelled).sum()) / union)
    return ious

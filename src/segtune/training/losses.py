"""The losses, over the pixels that carry a label.

A training step may be computed in parts, and by several processes. So a loss is told what the whole step counts, and
gives a part's share of the step's loss: the shares add up to what the batch in one piece would give. This is exact for
losses that are a mean over pixels; Dice and Lovász, which look at regions, and OHEM, which looks for the hardest pixels
of a part, are averaged over the parts.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor
from torch.nn import functional

from segtune.classes import IGNORE
from segtune.config import LossName
from segtune.training.plan import TrainPlan

FOCAL_GAMMA = 2.0
"""Lin et al. 2017, section 4."""

OHEM_LOSS = 0.357
"""Pixels with a lower loss, those predicted right with over 70 % probability, are easy."""
OHEM_KEPT = 1 / 16
"""The hardest pixels that always count, as a share."""


RegionLoss = Callable[[Tensor, Tensor], Tensor]
"""Logits float32 (N, C, H, W) and labels int64 (N, H, W) -> a scalar."""


class Loss(Protocol):
    """Logits (N, C, H, W) and labels int64 (N, H, W) -> a part's share of the step's loss, a scalar."""

    def total_weight(self, labels: Tensor) -> Tensor:
        """What the labels of a part weigh, a scalar; the sum over all parts is the ``total`` of a step."""

    def __call__(self, logits: Tensor, labels: Tensor, total: Tensor) -> Tensor:
        """The share; 0 where nothing is labelled."""


def make_loss(plan: TrainPlan, device: torch.device) -> Loss:
    """The loss of a plan, for logits on ``device``."""
    pixels, regions = PixelLoss(plan, device), region_loss(plan.loss)
    return WithRegions(pixels, regions) if regions else pixels


def region_loss(name: LossName) -> RegionLoss | None:
    """What a loss adds to cross entropy; None where it is of pixels alone."""
    return {"dice": dice_loss, "lovasz": lovasz_loss}.get(name)


def _share(value: Tensor, total: Tensor) -> Tensor:
    """Of the step's total, which is 0 where nothing is labelled."""
    return value / total.clamp(min=torch.finfo(torch.float32).tiny)


class PixelLoss:
    """A weighted mean over labelled pixels.

    Cross entropy, focal (Lin et al. 2017) or OHEM (Shrivastava et al. 2016).

    With class weights, cross entropy learns logits that are higher by the logarithm of each class's weight. Rare
    classes are learnt faster so, but are found too often. So a share of that logarithm, the plan's
    ``logit_adjustment``, is added to the logits here, and the net learns the rest alone (Menon et al. 2021).
    """

    def __init__(self, plan: TrainPlan, device: torch.device) -> None:
        self.kind = plan.loss
        weights = torch.tensor(plan.class_weights, dtype=torch.float32, device=device)
        self.class_weights = weights if plan.class_weights else None
        self.has_weight = weights > 0 if 0 in plan.class_weights else None
        # A class of weight 0 is never counted: its logit is not adjusted.
        logarithms = torch.where(weights > 0, weights, 1).log().view(1, -1, 1, 1)
        self.shift = plan.logit_adjustment * logarithms if plan.class_weights and plan.logit_adjustment else None
        self.label_smoothing = plan.label_smoothing

    def without_weightless(self, labels: Tensor) -> Tensor:
        """The labels, those of classes of weight 0 ignored: label smoothing would count them."""
        if self.has_weight is None:
            return labels
        return torch.where(self.has_weight[labels.clamp(max=len(self.has_weight) - 1)], labels, IGNORE)

    def total_weight(self, labels: Tensor) -> Tensor:
        """The sum of the class weights of the labelled pixels."""
        labelled = labels != IGNORE
        if self.class_weights is None:
            return labelled.sum().float()
        return (self.class_weights[labels.clamp(max=len(self.class_weights) - 1)] * labelled).sum()

    def __call__(self, logits: Tensor, labels: Tensor, total: Tensor) -> Tensor:
        """The share of the step's mean."""
        labels = self.without_weightless(labels)
        logits = logits.float() if self.shift is None else logits.float() + self.shift
        if self.kind == "focal":
            return self._focal(logits, labels, total)
        if self.kind == "ohem":
            return self._ohem(logits, labels, total)
        return _share(self._cross_entropy(logits, labels, "sum"), total)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
        return functional.cross_entropy(
            logits, labels, self.class_weights, ignore_index=IGNORE, reduction=reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip

    def _focal(self, logits: Tensor, labels: Tensor, total: Tensor) -> Tensor:
        # The factor is part of what is differentiated, so it is computed from the logits again.
        certainty = torch.exp(-functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none"))
        losses = self._cross_entropy(logits, labels, "none")
        return _share((losses * (1 - certainty) ** FOCAL_GAMMA).sum(), total)

    def _ohem(self, logits: Tensor, labels: Tensor, total: Tensor) -> Tensor:
        losses = self._cross_entropy(logits, labels, "none")
        with torch.no_grad():
            hardness = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        labelled = labels != IGNORE
        hard = hardness[labelled]
        if not len(hard):
            return logits.sum() * 0
        # At least the hardest 1/16 count, and every pixel that is not easy.
        kept = max(1, int(len(hard) * OHEM_KEPT))
        threshold = torch.minimum(hard.topk(kept).values[-1], hard.new_tensor(OHEM_LOSS))
        counted = (hardness >= threshold) & labelled
        # The weighted mean over what counts, then this part's share of the step.
        kept_weight = self.total_weight(torch.where(counted, labels, IGNORE))
        return losses[counted].sum() / kept_weight * _share(self.total_weight(labels), total)


class WithRegions:
    """Cross entropy and a loss over regions, added."""

    def __init__(self, pixels: PixelLoss, regions: RegionLoss) -> None:
        self.pixels = pixels
        self.regions = regions

    def total_weight(self, labels: Tensor) -> Tensor:
        """What the pixels weigh."""
        return self.pixels.total_weight(labels)

    def __call__(self, logits: Tensor, labels: Tensor, total: Tensor) -> Tensor:
        """The sum of both shares."""
        labels = self.pixels.without_weightless(labels)
        share = _share(self.total_weight(labels), total)
        return self.pixels(logits, labels, total) + self.regions(logits.float(), labels) * share


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - Dice of the pictures taken together (Drozdzal et al. 2016); the mean over all classes, 0 for absent ones.

    So it weighs the less beside cross entropy, the fewer of the classes are in a batch, or in a part of one. It is
    segmentation-models-pytorch's, without a mask of each class: a third of the time.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W).
    """
    is_labelled = (labels != IGNORE).to(logits.dtype)
    classes = torch.where(labels == IGNORE, 0, labels)
    probabilities = logits.softmax(1)
    own = probabilities.gather(1, classes.unsqueeze(1)).squeeze(1) * is_labelled
    overlap, labelled = (_sums(values, classes, logits.shape[1]) for values in (own, is_labelled))
    predicted = torch.einsum("nchw,nhw->c", probabilities, is_labelled)
    dice = 2 * overlap / (predicted + labelled).clamp(min=torch.finfo(torch.float32).tiny)
    return ((1 - dice) * (labelled > 0)).mean()


def _sums(values: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """The sum of the values (N, H, W) of each class's pixels, (C,).

    First of each row, then of all: a float32 that has reached a million takes in no more small values, and a GPU would
    wait where all pixels of a class are added to one place.
    """
    rows = classes.flatten(0, 1)
    return values.new_zeros(len(rows), num_classes).scatter_add(1, rows, values.flatten(0, 1)).sum(0)


def lovasz_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász-Softmax (Berman et al. 2018); 0 where nothing is labelled.

    Args:
        logits: float (N, C, H, W).
        labels: int64 (N, H, W).
    """
    if not bool((labels != IGNORE).any()):  # smp's has no value then
        return logits.sum() * 0
    loss: Tensor = LovaszLoss("multiclass", ignore_index=IGNORE)(logits, labels)
    return loss

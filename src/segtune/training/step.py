"""One training step: batch -> forward -> loss -> backward -> new weights."""

from torch import nn
from torch.optim import Optimizer

from segtune.data.batch import Batch
from segtune.preprocessing import Preprocessing
from segtune.training.losses import Loss


def training_step(
    net: nn.Module,
    batch: Batch,
    preprocessing: Preprocessing,
    loss_function: Loss,
    optimizer: Optimizer,
) -> float:
    """Move the weights one step against the gradient of the loss on a batch.

    Returns:
        The loss before the step.
    """
    device = next(net.parameters()).device
    # torch computes in the memory format of the weights; converting the pictures too would gain nothing.
    images = preprocessing.normalize(batch.images.to(device, non_blocking=True))
    labels = batch.labels.to(device, non_blocking=True).long()
    optimizer.zero_grad(set_to_none=True)
    logits = net(images)[:, :, : labels.shape[1], : labels.shape[2]]
    loss = loss_function(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch 2.15 leaves it untyped
    optimizer.step()
    return loss.item()

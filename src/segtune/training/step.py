"""One training step: batch -> forward -> loss -> backward -> new weights."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from segtune.allocator import return_freed_memory
from segtune.data.batch import Batch
from segtune.out_of_memory import is_out_of_memory
from segtune.preprocessing import Preprocessing
from segtune.training.losses import Loss
from segtune.training.network import Network
from segtune.training.plan import TrainPlan

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Moves the weights of a net, batch by batch.

    Args:
        network: The net.
        preprocessing: Normalises the pictures.
        loss: The loss.
        optimizer: Holds the weights that are trained.
        plan: Says the precision, the parts and the longest gradient.

    Attributes:
        num_parts: Parts that a batch is computed in, one after the other.
        scaler: float16 has few small numbers: it scales gradients up, and back before the step.
    """

    def __init__(
        self, network: Network, preprocessing: Preprocessing, loss: Loss, optimizer: Optimizer, plan: TrainPlan
    ) -> None:
        self.network = network
        self.preprocessing = preprocessing
        self.loss = loss
        self.optimizer = optimizer
        self.plan = plan
        self.num_parts = plan.accumulate
        self.scaler = GradScaler(network.device.type, enabled=plan.precision == "fp16")

    def total_weight(self, batch: Batch) -> Tensor:
        """What the labels of a batch weigh, a float32 scalar."""
        return self.loss.total_weight(batch.labels.to(self.network.device).long())

    def step(self, batch: Batch, total: Tensor, world_size: int = 1) -> float | None:
        """Move the weights one step against the gradient of the loss.

        Args:
            batch: The batch, or this process's share of it.
            total: What the labels of the whole batch weigh, over all processes.
            world_size: Processes that compute a share of the batch each.

        Returns:
            The share of the loss, before the step, that is this process's; the sum over all processes is the loss.
            None where the gradients don't fit into memory: then the weights are as they were.
        """
        loss = self._gradients(batch, total, world_size)
        if loss is None:
            self.optimizer.zero_grad(set_to_none=True)
            return None
        if self.plan.clip_gradient:
            self.scaler.unscale_(self.optimizer)
            trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.plan.clip_gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def halve(self, batch: Batch) -> bool:
        """Compute batches in twice as many parts from now on; False where the parts are single pictures already."""
        if self.num_parts >= len(batch):
            return False
        self.num_parts *= 2
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.network.device.type == "cpu":
            return_freed_memory()
        return True

    def _gradients(self, batch: Batch, total: Tensor, world_size: int) -> float | None:
        """Compute the gradients of a batch; returns its loss, or None where memory is out."""
        try:
            return self._backward(batch, total, world_size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # As long as an error is being handled its frames keep all that the failed attempt had in memory.
        return None

    def _backward(self, batch: Batch, total: Tensor, world_size: int) -> float:
        """The gradients of a batch, part by part."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.network.device)
        # Several processes must do the same number of parts, as they exchange statistics in each.
        parts = split_batch(batch, self.num_parts if world_size > 1 else min(self.num_parts, len(batch)))
        for index, part in enumerate(parts):
            # Gradients travel between processes once a step, with its last part.
            with self.network.synchronised(index == len(parts) - 1):
                share = self._forward(part, total)
                # The processes' gradients are averaged; here they are shares of a sum.
                self.scaler.scale(share * world_size).backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        return loss.item()

    def _forward(self, part: Batch, total: Tensor) -> Tensor:
        device = self.network.device
        # torch computes in the memory format of the weights; converting the pictures too would gain nothing.
        images = self.preprocessing.normalize(part.images.to(device, non_blocking=True))
        labels = part.labels.to(device, non_blocking=True).long()
        autocast = AUTOCAST.get(self.plan.precision)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            logits = self.network(images)[:, :, : labels.shape[1], : labels.shape[2]]
        return self.loss(logits, labels, total)


def split_batch(batch: Batch, num_parts: int) -> list[Batch]:
    """A batch as ``num_parts`` parts of about equal size, of which some are empty where there are fewer pictures.

    (An empty part goes through the network and weighs nothing: processes with less to do keep step with the others.)
    """
    bounds = [index * len(batch) // num_parts for index in range(num_parts + 1)]
    areas = [slice(start, end) for start, end in pairwise(bounds)]
    return [Batch(batch.images[area], batch.labels[area], batch.names[area]) for area in areas]

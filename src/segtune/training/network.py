"""The network as it is trained: frozen parts, batch norms, several processes, compilation."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from segtune.errors import UserError
from segtune.models.batch_norm import looking_on, synchronise
from segtune.models.catalog import feature_extractor
from segtune.models.dilated import split_dilated
from segtune.models.stages import SIDE, extractor_stages, freeze_stages
from segtune.training.plan import TrainPlan


class Network:
    """A net made ready for a training by its plan.

    Args:
        net: float32 (N, 3, H, W) -> logits (N, C, H, W); it is moved to the device and changed in place.
        architecture: Its name in the catalogue.
        plan: What to freeze, and where to compute.
        device: Where to compute.

    Raises:
        UserError: The plan freezes more stages than there are.

    Attributes:
        net: The net.
        device: Where it is.
        stages: The modules of each stage of its feature extractor.
    """

    def __init__(self, net: nn.Module, architecture: str, plan: TrainPlan, device: torch.device) -> None:
        self.net = net.to(device)
        self.device = device
        if plan.channels_last:
            net.to(memory_format=torch.channels_last)
        if device.type == "cpu":
            split_dilated(net)
        extractor = feature_extractor(net, architecture)
        self.stages = extractor_stages(extractor)
        if plan.freeze > len(self.stages):
            raise UserError(
                f"--freeze is {plan.freeze}, but the backbone of {architecture} has {len(self.stages)} stages.",
                "To freeze all of it: --keep-feature-extract",
            )
        frozen = freeze_stages(extractor, self.stages, plan.freeze)
        if plan.batch_norm == "sync":
            synchronise(net, frozen)
            self.stages = extractor_stages(extractor)  # batch norms are others now
        self._fixed = self._modules_without_training(extractor, frozen, plan)
        self._trained = self._wrapped(plan)

    def _modules_without_training(
        self, extractor: nn.Module, frozen: Sequence[nn.Module], plan: TrainPlan
    ) -> list[nn.Module]:
        """What stays in evaluation mode: its batch statistics are kept, and it drops nothing."""
        fixed = list(frozen) if plan.frozen_batch_norm else []
        if plan.batch_norm == "frozen":
            fixed += [module for module in extractor.modules() if isinstance(module, _BatchNorm)]
        return fixed

    def _wrapped(self, plan: TrainPlan) -> nn.Module:
        trained: nn.Module = torch.compile(self.net) if plan.compile else self.net  # type: ignore[assignment]
        if plan.world_size == 1:
            return trained
        _leave_out_unused(self.net)
        return DistributedDataParallel(trained, [self.device] if self.device.type == "cuda" else None)

    def train_mode(self) -> None:
        """Set all to training, but for what is fixed."""
        self.net.train()
        self._trained.train()
        for module in self._fixed:
            module.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised pictures, float32 (N, 3, H, W) -> logits (N, C, H, W).

        A process without pictures sends one that counts nothing: it keeps step with the others, and not every decoder
        takes a batch of none.
        """
        if len(images):
            logits: Tensor = self._trained(images)
            return logits
        with looking_on(self.net):
            nothing: Tensor = self._trained(images.new_zeros(1, *images.shape[1:]))[:0]
            return nothing

    def synchronised(self, now: bool) -> AbstractContextManager[None]:
        """Whether gradients travel between the processes in the backward pass inside of this context."""
        if now or not isinstance(self._trained, DistributedDataParallel):
            return nullcontext()
        return self._trained.no_sync()


def _leave_out_unused(net: nn.Module) -> None:
    """Parameters that no gradient reaches, as some decoders leave deep stages aside, would be waited for forever."""
    net.eval()
    device = next(net.parameters()).device
    net(torch.zeros(1, 3, SIDE, SIDE, device=device)).sum().backward()
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter.grad is not None)
        parameter.grad = None

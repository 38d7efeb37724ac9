"""A plain PyTorch loop around segmentation-models-pytorch: what a competent person writes in an hour.

Pictures scaled by 0.75 to 1.5 (the half to twice of torchvision's segmentation reference would be too much for these
small ones), crops and flips; AdamW with a cosine that ends with the time. The crop is the one that ImageNet nets know:
with crops of 320 and half the rate, this loop had 0.431 and 0.434 in ten minutes, as it made 175 steps.
"""

import math
from collections.abc import Iterator

import torch
from net import FILL, TO_INPUT, WEIGHTS, CamVid, pretrained_net, write_predictions
from task import IGNORE, Clock, Task, given_task, write_times
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

CROP, BATCH_SIZE, RATE, WEIGHT_DECAY = 224, 8, 1e-3, 0.01

TRANSFORM = v2.Compose(
    [
        v2.RandomResize(min_size=270, max_size=540),  # of the shorter side; it is 360
        v2.RandomCrop(CROP, pad_if_needed=True, fill=FILL),
        v2.RandomHorizontalFlip(),
        TO_INPUT,
    ]
)


def training_batches(task: Task) -> DataLoader[tuple[Tensor, Tensor]]:
    return DataLoader(
        CamVid(task.pairs("train"), TRANSFORM),
        BATCH_SIZE, shuffle=True, drop_last=True, num_workers=1, persistent_workers=True,
    )  # fmt: skip


def cosine(share: float) -> float:
    """The rate, as a share of the first, when such a share of the training is over."""
    return (1 + math.cos(math.pi * share)) / 2


def endless(batches: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches


def main() -> None:
    task = given_task()
    torch.manual_seed(task.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = pretrained_net().to(device).train()
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    clock = Clock(task.minutes)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: cosine(clock.share()))
    steps = 0
    for images, labels in endless(training_batches(task)):
        if clock.share() == 1:
            break
        optimizer.zero_grad()
        criterion(net(images.to(device)), labels.to(device)).backward()
        optimizer.step()
        schedule.step()
        steps += 1
    seconds = clock.seconds()
    write_predictions(net, task)
    write_times(task, seconds, steps, WEIGHTS)


if __name__ == "__main__":
    main()

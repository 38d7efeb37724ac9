"""The original project's recipe (DeepLabV3FineTuning), spelled out, on the same net as the others.

SGD with 0.001 and momentum 0.9, the rate never lowered; crops of 224, mirrored both ways; 16 a batch; batches of one
picture left out. segtune's own version of it is 'segtune train --recipe original'.
"""

import torch
from net import FILL, TO_INPUT, WEIGHTS, CamVid, pretrained_net, write_predictions
from plain_smp import endless
from task import IGNORE, Clock, given_task, write_times
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

CROP, BATCH_SIZE, RATE, MOMENTUM = 224, 16, 0.001, 0.9

TRANSFORM = v2.Compose(
    [
        v2.RandomCrop(CROP, pad_if_needed=True, fill=FILL),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        TO_INPUT,
    ]
)


def main() -> None:
    task = given_task()
    torch.manual_seed(task.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = pretrained_net().to(device).train()
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    pictures = CamVid(task.pairs("train"), TRANSFORM)
    clock = Clock(task.minutes)
    steps = 0
    for images, labels in endless(DataLoader(pictures, BATCH_SIZE, True, num_workers=2, persistent_workers=True)):
        if clock.share() == 1:
            break
        if len(images) == 1:
            continue
        optimizer.zero_grad()
        criterion(net(images.to(device)), labels.to(device)).backward()
        optimizer.step()
        steps += 1
    seconds = clock.seconds()
    write_predictions(net, task)
    write_times(task, seconds, steps, WEIGHTS)


if __name__ == "__main__":
    main()

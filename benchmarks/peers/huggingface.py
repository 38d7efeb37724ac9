"""transformers' Trainer with the settings of its semantic segmentation example, on the same net as the others.

From the example (examples/pytorch/semantic-segmentation, its README's command for the Trainer): AdamW with 6e-5,
lowered linearly ('polynomial' of power 1) to zero at the end; 8 a batch; padding, a crop of the image processor's size,
a flip; all else as the Trainer has it, but two workers that read. The image processor is ours to say, as the net is: it
takes whole pictures, since the example's 512 would make a third of each batch padding. SegFormer itself would have to
start from random weights, as its own can't be had without a download; so the Trainer trains the net that the others
train.
"""

import albumentations
import torch
from albumentations.pytorch import ToTensorV2
from net import MEAN, STD, WEIGHTS, pretrained_net, write_predictions
from task import IGNORE, Clock, Task, given_task, read_labels, read_picture, write_times
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

HEIGHT, WIDTH = 384, 480
BATCH_SIZE, RATE = 8, 6e-5


def transform(seed: int) -> albumentations.Compose:
    """The example's, with a generator of its own."""
    return albumentations.Compose(
        [
            albumentations.PadIfNeeded(min_height=HEIGHT, min_width=WIDTH, border_mode=0, fill_mask=IGNORE),
            albumentations.RandomCrop(HEIGHT, WIDTH),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Normalize(MEAN, STD),
            ToTensorV2(),
        ],
        seed=seed,
    )


class Pictures(Dataset[dict[str, Tensor]]):
    def __init__(self, task: Task) -> None:
        self.pairs, self.transform = task.pairs("train"), transform(task.seed)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        picture, labels = self.pairs[index]
        item = self.transform(image=read_picture(picture), mask=read_labels(labels))
        return {"pixel_values": item["image"].float(), "labels": item["mask"].long()}


class Segmenter(nn.Module):
    """The net as the Trainer wants it: the loss comes out first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = pretrained_net()
        self.criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": self.criterion(logits, labels), "logits": logits}


class StopInTime(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_begin(self, *_: object, **__: object) -> None:
        self.clock.share()

    def on_step_end(
        self, _arguments: TrainingArguments, _state: TrainerState, control: TrainerControl, **_: object
    ) -> TrainerControl:
        control.should_training_stop = self.clock.share() == 1
        return control


def main() -> None:
    task = given_task()
    set_seed(task.seed)
    model = Segmenter()
    settings = TrainingArguments(
        output_dir=str(task.output / "trainer"), per_device_train_batch_size=BATCH_SIZE, learning_rate=RATE,
        seed=task.seed, max_steps=1_000_000, save_strategy="no", report_to="none", remove_unused_columns=False,
        disable_tqdm=True, dataloader_num_workers=2, dataloader_persistent_workers=True,
    )  # fmt: skip
    clock = Clock(task.minutes)
    # The Trainer's own optimizer and schedule; only the schedule's end is a time instead of a number of steps.
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1 - clock.share() if clock.started else 1.0)
    trainer = Trainer(
        model, settings, train_dataset=Pictures(task), optimizers=(optimizer, schedule), callbacks=[StopInTime(clock)]
    )
    trainer.train()
    seconds = clock.seconds()
    write_predictions(model.net, task)
    write_times(task, seconds, trainer.state.global_step, WEIGHTS)


if __name__ == "__main__":
    main()

"""The plain loop's net, data, loss, optimizer and schedule, on Lightning's Trainer."""

from datetime import timedelta
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Timer
from net import WEIGHTS, pretrained_net, write_predictions
from plain_smp import RATE, WEIGHT_DECAY, cosine, training_batches
from task import IGNORE, given_task, write_times
from torch import Tensor, nn


class Segmenter(lightning.LightningModule):
    def __init__(self, timer: Timer, seconds: float) -> None:
        super().__init__()
        self.net = pretrained_net()
        self.criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)
        self.timer = timer
        self.seconds = seconds

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        return self.criterion(self.net(images), labels)

    def rate(self, _: int) -> float:
        return cosine(min(1.0, self.timer.time_elapsed() / self.seconds))

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main() -> None:
    task = given_task()
    lightning.seed_everything(task.seed, workers=True)
    timer = Timer(timedelta(minutes=task.minutes))
    model = Segmenter(timer, 60 * task.minutes)
    trainer = lightning.Trainer(
        max_epochs=-1, callbacks=[timer], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, training_batches(task))
    write_predictions(model.net, task)
    write_times(task, timer.time_elapsed(), trainer.global_step, WEIGHTS)


if __name__ == "__main__":
    main()

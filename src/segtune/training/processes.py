"""Several processes that train together: a thin layer on torch.distributed."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from segtune.errors import UserError, first_line
from segtune.machine import usable_cpus
from segtune.run_folder import RunFolder

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

Value = TypeVar("Value")

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: the first one may have to convert and to check a large dataset."""

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""What torchrun tells each process."""
ALONE_ON_ITS_MACHINE = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: Which one this is, over all machines; 0 writes the run folder.
        local_rank: Which one of its machine.
        world_size: How many there are.
        local_world_size: How many are on this machine.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in place."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values

    def sum_counts(self, counts: npt.NDArray[np.int64], device: torch.device) -> npt.NDArray[np.int64]:
        """The sum of int64 counts over all processes."""
        return self.sum(torch.from_numpy(counts).to(device)).cpu().numpy() if self.world_size > 1 else counts

    def broadcast(self, value: Value) -> Value:
        """The first process's value, in all processes."""
        if self.world_size == 1:
            return value
        values = [value]
        # Between the processes of one run only: nothing that comes from outside is unpickled.
        distributed.broadcast_object_list(values)
        return values[0]

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the first process's values, in place."""
        for tensor in tensors if self.world_size > 1 else ():
            distributed.broadcast(tensor, 0)

    @contextmanager
    def lost_processes_told(self, folder: RunFolder) -> Iterator[None]:
        """Turn what torch raises when another process is gone into words.

        Args:
            folder: The run folder.

        Raises:
            UserError: Another process is gone.
        """
        try:
            yield
        except RuntimeError as error:  # of gloo without a type of its own; DistBackendError is one, too
            if self.world_size == 1 or not any(word in str(error) for word in ("gloo", "NCCL", "peer")):
                raise
            raise UserError(
                f"Process {self.rank} lost touch with another process of this run: {first_line(error)}",
                f"See what that one says. {folder.way_on()}",
            ) from error

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            distributed.barrier()


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone where it started none.

    Args:
        device: 'auto', 'cpu' or 'cuda': what the processes talk through follows from it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Processes()
        return
    # Launchers other than torchrun may start one process a machine, and not say so.
    given = {**ALONE_ON_ITS_MACHINE, **os.environ}
    processes = Processes(*(int(given[name]) for name in NAMES))
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda and processes.local_rank >= torch.cuda.device_count():
        number = torch.cuda.device_count()
        raise UserError(
            f"Process {processes.local_rank} of this machine has no CUDA device: there are {number}.",
            "Start as many processes as there are devices.",
        )
    if cuda:
        torch.cuda.set_device(processes.local_rank)
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield processes
    finally:
        distributed.destroy_process_group()


def was_launched() -> bool:
    """Whether torchrun, or ``launch``, has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch(arguments: list[str], num_processes: int, folder: RunFolder) -> None:
    """Run ``python -m segtune`` with ``arguments`` in several processes on this machine, by torch's elastic launcher.

    Args:
        arguments: The command.
        num_processes: How many processes.
        folder: The run folder that they write.

    Raises:
        UserError: One of them failed; it has said why itself, unless it was killed.
        KeyboardInterrupt: All were asked to stop, and have.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    # As torchrun does, so that the processes don't fight over the cores; but each gets its share of them.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // num_processes)))
    with TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=num_processes, run_id="segtune", rdzv_backend="c10d",
            rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1, logs_specs=DefaultLogsSpecs(logs),
        )  # fmt: skip
        _run_all(config, arguments, folder)


def _run_all(config: "LaunchConfig", arguments: list[str], folder: RunFolder) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    try:
        elastic_launch(config, sys.executable)("-m", "segtune", *arguments)
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        raise UserError(
            f"Process {rank} of {config.nproc_per_node} {ended}; the others were stopped.",
            f"What it said stands above. {folder.way_on()}",
        ) from error

"""Values are read, computed and written in their order, whatever the number of workers."""

import threading
import time

import numpy as np
import pytest

from segtune.prediction.pipeline import PixelBudget, overlapped
from segtune.runtimes.backend import MAX_SHARED_PIXELS, Workers

SMALL = np.zeros((3, 8, 8), np.uint8)
LARGE = np.zeros((3, MAX_SHARED_PIXELS + 1), np.uint8)


def run(values, compute, workers, budget=None) -> list:
    written: list = []
    for _ in overlapped(iter(values), compute, written.append, budget or PixelBudget(), workers):
        pass
    return written


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_the_order_stays(cores, count):
    def square(value: int) -> int:
        time.sleep(0.002 * (value % 3))
        return value * value

    assert run(range(count), square, Workers(cores)) == [value * value for value in range(count)]


def test_one_worker_is_the_calling_thread():
    assert set(run(range(9), lambda _: threading.get_ident(), Workers(1))) == {threading.get_ident()}


def test_workers_compute_at_the_same_time():
    both = threading.Barrier(2, timeout=30)
    assert len(run(range(8), lambda _: both.wait(), Workers(2))) == 8


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_ends_it(cores):
    with pytest.raises(ZeroDivisionError):
        run([4, 2, 0, 1], lambda value: 8 / value, Workers(cores))


@pytest.mark.parametrize("cores", [1, 2])
def test_a_reader_that_waits_for_room_gets_it_when_something_is_written(cores):
    budget = PixelBudget(limit=2)

    def values():
        for value in range(20):
            budget.take(1)
            yield value

    written = []

    def write(value: int) -> None:
        written.append(value)
        budget.give_back(1)

    for _ in overlapped(values(), lambda value: value, write, budget, Workers(cores)):
        pass
    assert written == list(range(20))


@pytest.mark.parametrize(
    ("cores", "images", "expected"),
    [(1, SMALL, 1), (2, SMALL, 1), (2, LARGE, 2), (4, SMALL, 1), (16, SMALL, 4), (16, LARGE, 16)],
)
def test_cores_of_a_worker(cores, images, expected):
    workers = Workers(cores)

    def cores_for(_: int) -> int:
        with workers.cores_for(images) as found:
            return found

    assert cores_for(0) == cores  # no worker
    assert set(run(range(4), cores_for, workers)) == {expected}

"""The one who predicts: a thread that takes the waiting pictures, those of the same size together."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType

from segtune.arrays import Array, Floats, Values
from segtune.errors import UserError
from segtune.out_of_memory import is_out_of_memory
from segtune.pictures import read_picture
from segtune.prediction.pipeline import PixelBudget
from segtune.prediction.predictor import Prediction, Predictor
from segtune.serving.problems import MISTAKE, TOO_LITTLE_MEMORY, Problem

LOGGER = logging.getLogger("uvicorn.error")

MAX_BATCH_PIXELS = 4_000_000
"""Pixels that are predicted together: more than that fill a processor as well one by one."""

NUM_ENCODERS = 2


@dataclass(frozen=True)
class Answer:
    """What became of a picture.

    Attributes:
        picture: uint8 (H, W, 3) RGB.
        prediction: What the model says of it.
        waited: Seconds before it was its turn.
        computed: Seconds that the network took, for all pictures of the batch.
        batch: How many these were.
    """

    picture: Array
    prediction: Prediction
    waited: float
    computed: float
    batch: int


@dataclass(frozen=True)
class Encoded:
    """What is sent back, and the figures of how it came about, as in ``Answer``."""

    body: bytes
    media_type: str
    waited: float
    computed: float
    batch: int


Encode = Callable[[Answer], tuple[bytes, str]]
"""An answer -> what is sent back, and its media type."""


@dataclass(frozen=True, eq=False)
class Job:
    """A picture that waits: as a file, which takes a tenth of the memory.

    Attributes:
        content: The file.
        size: Height and width that its head states.
        encode: What to make of the answer.
        done: Becomes the answer.
        is_left: Set when nobody waits for it any longer.
        since: When it came.
    """

    content: bytes
    size: tuple[int, int]
    encode: Encode
    done: "Future[Encoded]" = field(default_factory=Future)
    is_left: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)

    @property
    def pixels(self) -> int:
        """Of the decoded picture."""
        return self.size[0] * self.size[1]


class _LeftError(Exception):
    """Nobody waits any longer for what is predicted."""


class Worker:
    """Predicts in a thread of its own, and encodes in others; what is decoded at once is bounded.

    Args:
        predictor: The model.
        max_waiting: How many pictures may wait, beside those that are being predicted.
        max_batch: How many are predicted together at most.

    Attributes:
        num_taken: How many requests are between upload and answer.
    """

    def __init__(self, predictor: Predictor, max_waiting: int, max_batch: int) -> None:
        self.predictor = predictor
        self.max_batch = max_batch
        self._places = max_waiting + max_batch
        self.num_taken = 0
        self._seconds_each = 1.0
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._budget = PixelBudget()
        self._under_way: Sequence[Job] = ()
        self._answer_of_network = predictor.answer
        predictor.answer = self._answer_unless_left
        self._encoders = ThreadPoolExecutor(NUM_ENCODERS)
        self._thread = threading.Thread(target=self._run, name="predicts", daemon=True)

    def __enter__(self) -> "Worker":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._encoders.shutdown()
        self.predictor.answer = self._answer_of_network

    @property
    def num_waiting(self) -> int:
        """How many pictures wait now."""
        return len(self._waiting)

    def refuse_full(self) -> None:
        """Raise Problem where no more pictures may come."""
        if self.num_taken >= self._places:
            # By then those who wait now are done.
            seconds = max(1, round(self.num_taken * self._seconds_each))
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self.num_taken} pictures are being answered already; try again in {seconds} s.",
                {"Retry-After": str(seconds)},
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places, from the first byte of an upload to the answer's last. For the event loop's thread.

        Raises:
            Problem: All are taken.
        """
        self.refuse_full()
        self.num_taken += 1
        try:
            yield
        finally:
            self.num_taken -= 1

    async def predict(self, content: bytes, size: tuple[int, int], encode: Encode, seconds: float) -> Encoded:
        """Wait for one's turn, the prediction and its encoding.

        Args:
            content: The picture's file.
            size: Height and width that its head states.
            encode: What to make of the answer.
            seconds: How long to wait.

        Raises:
            Problem: It takes too long, or more memory than there is, or the picture can't be decoded.
        """
        job = Job(content, size, encode)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.done), seconds)
        except (TimeoutError, asyncio.CancelledError) as error:
            job.is_left.set()
            with self._changed, suppress(ValueError):  # it may be under way
                self._waiting.remove(job)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Problem(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"The prediction was not done within {seconds:g} seconds: send a smaller picture, or try again later.",
            ) from error
        except UserError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.message) from error
        except Exception as error:
            LOGGER.exception("A picture could not be answered.")
            if is_out_of_memory(error):
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, TOO_LITTLE_MEMORY) from error
            # What it says may hold paths; the log has it all.
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, MISTAKE) from error

    def _run(self) -> None:
        while jobs := self._next():
            self._answer(jobs)

    def _next(self) -> list[Job]:
        """The picture that waits longest, with others of its size; none when the work is over."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return []
                first = self._waiting.popleft()
                # Whoever does not wait any longer has cancelled.
                if first.done.set_running_or_notify_cancel():
                    return [first, *self._like(first)]

    def _like(self, first: Job) -> list[Job]:
        seen = math.prod(self.predictor.preprocessing.working_size(*first.size))  # more, where it is enlarged
        at_most = min(self.max_batch, MAX_BATCH_PIXELS // max(first.pixels, seen)) - 1
        jobs: list[Job] = []
        for job in list(self._waiting):
            if len(jobs) < at_most and job.size == first.size:
                self._waiting.remove(job)
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
        return jobs

    def _answer(self, jobs: Sequence[Job]) -> None:
        start = time.monotonic()
        self._budget.take(sum(job.pixels for job in jobs))
        decoded = [(job, picture) for job in jobs if (picture := self._decoded(job)) is not None]
        before = time.monotonic()
        self._under_way = [job for job, _ in decoded]
        try:
            predictions = self.predictor.predict_batch([picture for _, picture in decoded]) if decoded else []
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told, and others be served
            for job, _ in decoded:
                self._fail(job, _told(error, job))
            return
        finally:
            self._under_way = ()
        computed = time.monotonic() - before
        self._seconds_each = 0.8 * self._seconds_each + 0.2 * (time.monotonic() - start) / len(jobs)
        for (job, picture), prediction in zip(decoded, predictions, strict=True):
            answer = Answer(picture, prediction, start - job.since, computed, len(decoded))
            self._encoders.submit(self._encode, job, answer)

    def _answer_unless_left(self, images: Floats | Array) -> Values:
        """What the network answers; before each tile of a large picture it is asked whether anybody still waits."""
        if self._under_way and all(job.is_left.is_set() for job in self._under_way):
            raise _LeftError
        return self._answer_of_network(images)

    def _decoded(self, job: Job) -> Array | None:
        if job.is_left.is_set():
            self._fail(job, TimeoutError())
            return None
        try:
            return read_picture(job.content)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(job, error)
            return None

    def _encode(self, job: Job, answer: Answer) -> None:
        if job.is_left.is_set():
            self._fail(job, TimeoutError())
            return
        try:
            body, media_type = job.encode(answer)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(job, error)
        else:
            self._budget.give_back(job.pixels)
            job.done.set_result(Encoded(body, media_type, answer.waited, answer.computed, answer.batch))

    def _fail(self, job: Job, error: Exception) -> None:
        self._budget.give_back(job.pixels)
        job.done.set_exception(error)


def _told(error: Exception, job: Job) -> Exception:
    """What a prediction failed of, as others may know it: what a backend says names its file."""
    if not isinstance(error, UserError):
        return error
    LOGGER.error(error.message)
    height, width = job.size
    return UserError(f"The model can't predict a picture of {width} x {height} pixels.")

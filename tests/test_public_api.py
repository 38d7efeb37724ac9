"""The names that users import."""

import subprocess
import sys

import pytest

import segtune


@pytest.mark.parametrize("name", segtune.__all__)
def test_public_name_is_there_and_documented(name):
    documentation = getattr(segtune, name).__doc__
    # A dataclass without a docstring is given its signature as one.
    assert documentation
    assert not documentation.startswith(f"{name}(")


def test_unknown_name_raises():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        segtune.trian  # noqa: B018


def test_import_does_not_import_torch():
    code = "import sys, segtune; segtune.TrainConfig; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"

"""Freed memory is kept: what is asked for again needs no new pages."""

import subprocess
import sys

import pytest

STEPS = """
import resource
import torch
from segtune.allocator import keep_freed_memory, return_freed_memory

def step():
    values = torch.ones(8, 16, 150, 150, requires_grad=True)
    for _ in range(4):
        values = (values * 2).relu()
    values.sum().backward()

{call}
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what other systems do is theirs")
@pytest.mark.parametrize(
    ("call", "keeps"),
    [("return_freed_memory()", False), ("return_freed_memory(); keep_freed_memory()", True)],
)
def test_freed_memory_is_kept(call, keeps):
    # Ten steps that keep nothing ask the system for some 480,000 pages. Those that keep all ask for up to 20,000: the
    # backward pass allocates in a thread of its own, whose heap glibc splits in pieces of 64 MB.
    command = [sys.executable, "-c", STEPS.format(call=call)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (int(result.stdout) < 100_000) == keeps

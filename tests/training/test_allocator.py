"""Freed memory is kept: what is asked for again needs no new pages."""

import subprocess
import sys

import pytest

STEPS = """
import resource
import torch
from segtune.training.allocator import keep_freed_memory, return_freed_memory

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
    [("", False), ("keep_freed_memory()", True), ("keep_freed_memory(); return_freed_memory()", False)],
)
def test_freed_memory_is_kept(call, keeps):
    command = [sys.executable, "-c", STEPS.format(call=call)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (int(result.stdout) < 10_000) == keeps

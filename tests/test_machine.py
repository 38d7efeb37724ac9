"""How torch's threads wait: as they do alone, and asleep beside programs that keep the processors busy."""

import os
import subprocess
import sys
import sysconfig

import pytest

from segtune import machine
from segtune.machine import others_running, usable_cpus

BUSY = "while True: pass"
POLICY = "import os; from segtune.cli import main; main(['--version']); print(os.environ.get('OMP_WAIT_POLICY'))"


@pytest.fixture
def busy_machine():
    """A program for each processor that never waits."""
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    yield
    for program in programs:
        program.kill()
        program.wait()


def policy(**chosen: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | chosen
    done = subprocess.run([sys.executable, "-c", POLICY], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.usefixtures("busy_machine")
@pytest.mark.skipif(not machine.RUNNING_NOW.exists(), reason="the system does not tell what runs")
def test_beside_busy_programs_threads_sleep_unless_told_otherwise():
    assert others_running() > 0
    assert policy() == "PASSIVE"
    assert policy(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


@pytest.mark.parametrize(
    ("running", "chosen"),
    [("0.00 0.01 0.05 1/273 9", None), ("9.00 0.01 0.05 99/273 9", "PASSIVE"), ("", None), ("a b c d", None)],
)
def test_policy_follows_what_the_system_tells(running, chosen, tmp_path, monkeypatch):
    """The first field, the load of the last minute, is of no matter: it may be that of a program that has ended."""
    (tmp_path / "loadavg").write_text(running)
    monkeypatch.setattr(machine, "RUNNING_NOW", tmp_path / "loadavg")
    monkeypatch.setattr(os, "cpu_count", usable_cpus)
    monkeypatch.setattr(os, "environ", {})
    machine.share_processors()
    assert os.environ.get("OMP_WAIT_POLICY") == chosen


@pytest.mark.parametrize("has_headers", [True, False])
def test_compiling_needs_the_headers_of_python(has_headers, tmp_path, monkeypatch):
    scheme = tmp_path / sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    scheme.mkdir()
    if has_headers:
        (scheme / "Python.h").touch()
    monkeypatch.setattr(machine.sysconfig, "get_paths", lambda scheme: {"include": tmp_path / scheme})
    monkeypatch.setattr(machine, "find_spec", lambda name: name)
    monkeypatch.setenv("CC", "gcc")
    assert machine.can_compile() == has_headers


def test_a_system_that_does_not_tell_is_taken_as_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RUNNING_NOW", tmp_path / "none")
    assert others_running() == 0

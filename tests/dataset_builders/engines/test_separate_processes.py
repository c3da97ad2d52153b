"""Processes end with the one that started them, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import multiprocessing, os, time
from dataset_builders.engines.separate_processes import SeparateProcesses

if __name__ == "__main__":
    processes = SeparateProcesses(2)
    busy = processes.submit(time.sleep, 600)
    idle = processes.submit(os.getpid).result()
    print(*(each.pid for each in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


def is_running(process: int) -> bool:
    """Whether a process computes or waits; one that has ended may still be listed, until its parent asks for it."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_a_killed_parent(ending: signal.Signals, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    ) as parent:
        try:
            assert parent.stdout is not None
            children = [int(each) for each in parent.stdout.readline().split()]
            assert len(set(children)) == 2
            assert all(map(is_running, children))
        finally:
            parent.send_signal(ending)
    ends = time.monotonic() + 60
    while time.monotonic() < ends and any(map(is_running, children)):
        time.sleep(0.05)
    left = [each for each in children if is_running(each)]
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert not left

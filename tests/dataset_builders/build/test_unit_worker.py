import json
import subprocess
import sys

import pytest

from dataset_builders.build.unit_store import RECORD_NAME, check_worker, claim_work_dir
from dataset_builders.build.unit_worker import make_unit_safely, probe_burst
from dataset_builders.build.work_units import WorkUnit, read_unit
from dataset_builders.core.errors import SetupError
from dataset_builders.engines import threads
from dataset_builders.engines.threads import require_one_thread
from dataset_builders.tasks.words import parse_word

UNIT = WorkUnit(0, 1, "primary", parse_word("F-1-H"))


def test_a_thread_of_a_wide_process_computes_on_one_thread():
    """OpenMP keeps a number for each thread: what the main thread was limited to says nothing of another."""
    program = """
import threading, tblite.interface
from threadpoolctl import threadpool_info
from dataset_builders.engines.threads import require_one_thread

def widths():
    return {library["num_threads"] for library in threadpool_info()}

def of_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]

assert 3 in of_thread(widths)
assert of_thread(lambda: require_one_thread() or widths()) == {1}
"""
    environment = {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "PYTHONPATH": ":".join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_a_library_that_cannot_be_limited_is_named(monkeypatch):
    import threadpoolctl

    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [{"num_threads": 4, "filepath": "libwide.so"}])
    with pytest.raises(SetupError, match=r"libwide\.so \(4 threads\); expected one\. Start the workers with OMP_NUM"):
        require_one_thread()
    assert set(threads.THREAD_LIMITS) == {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}


def test_a_worker_makes_its_unit_in_the_folder_of_the_build(tmp_path):
    claim_work_dir(tmp_path, 3)
    assert make_unit_safely(UNIT, tmp_path, 3).error is None
    assert read_unit(UNIT, tmp_path) is not None


def test_a_unit_that_cannot_be_written_ends_the_build(tmp_path, monkeypatch):
    """As one failure among others, each further unit would be computed and lost."""

    def full(*_):
        raise OSError(28, "No space left on device")

    claim_work_dir(tmp_path, 3)
    monkeypatch.setattr("dataset_builders.build.work_units.write_table", full)
    with pytest.raises(SetupError, match=f"cannot write to {tmp_path}: No space left on device; free some space"):
        make_unit_safely(UNIT, tmp_path, 3)


def test_a_worker_that_does_not_see_the_folder_makes_nothing(tmp_path):
    with pytest.raises(SetupError, match=r"does not see the work folder .*expected a folder that all workers share"):
        make_unit_safely(UNIT, tmp_path / "elsewhere", 3)
    assert not (tmp_path / "elsewhere").exists()


def test_a_worker_with_other_programs_makes_nothing(tmp_path):
    claim_work_dir(tmp_path, 3)
    record = json.loads((tmp_path / RECORD_NAME).read_text())
    record["versions"]["tblite"] = "0.1"
    (tmp_path / RECORD_NAME).write_text(json.dumps(record))
    with pytest.raises(
        SetupError, match=r"would compute frames with versions = .*contains frames with .*'tblite': '0\.1'"
    ):
        check_worker(tmp_path, 3)


def test_a_probe_times_a_burst():
    probe = probe_burst(UNIT.word, "primary", 0, 3)
    assert probe.word == UNIT.word
    assert 0.0 < probe.cpu_seconds < 60.0
    assert probe.seconds > 0.0

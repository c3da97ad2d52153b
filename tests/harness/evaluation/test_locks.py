"""Several processes in one output folder: kept apart where they would spoil each other's work, harmless elsewhere."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset_builders.cli import main as build
from dataset_builders.core.errors import SetupError
from dataset_builders.core.sole_user import LOCK_NAME, in_turn, sole_user
from harness.cli import main
from harness.networks.checkpoint_format import read_config
from harness.results.cost import TIMING_NAME
from harness.results.result import RESULT_NAME
from harness.study.run_record import keep_record, read_records
from harness.train.state import STATE_FILE
from tests.harness.study.records import record
from tests.harness.training_set import SHAPE, write_training_set

HOLD = (
    "import sys; from pathlib import Path; from dataset_builders.core.sole_user import sole_user\n"
    "with sole_user(Path(sys.argv[1]), 'training', 'go'): print('held', flush=True); input()\n"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture
def holder() -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Starts a process that has a folder to itself until it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLD, str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


Holder = Callable[[Path], "subprocess.Popen[str]"]


def killed(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120.0
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("architecture", ["painn", "additive", "knn"])
def test_a_second_training_in_one_folder_is_refused(
    dataset: Path, tmp_path: Path, holder: Holder, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    process = holder(out)
    command = ["train", "--arch", architecture, "--dataset", str(dataset), "--task", "task2", "--out", str(out)]
    assert main(command) == 6
    error = capsys.readouterr().err
    assert f"error: {out} is in use by another training (process {process.pid} on " in error
    assert error.rstrip().endswith("wait until it ends, or choose another --out")
    assert [path.name for path in out.iterdir()] == [LOCK_NAME]


def test_a_training_that_was_killed_leaves_no_lock_and_goes_on(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    options = ["train", "--dataset", str(dataset), "--task", "task2", "--out", str(out), "--device", "cpu", *SHAPE]
    options += ["--epochs", "400", "--validations", "400", "--patience", "6"]
    process = subprocess.Popen([sys.executable, "-m", "harness", *options], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (out / STATE_FILE).exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        assert main(options) == 6
        assert f"process {process.pid} on " in capsys.readouterr().err
    finally:
        killed(process)
    assert (out / LOCK_NAME).exists()
    assert read_config(out).training["finished"] is False
    assert main([*options, "--seed", "1"]) == 2
    assert "contains an interrupted run whose seed is 0" in capsys.readouterr().err


def test_a_lock_ends_with_its_process(tmp_path: Path, holder: Holder) -> None:
    process = holder(tmp_path)
    with pytest.raises(SetupError, match=rf"another training \(process {process.pid} on .*\); wait"):
        enter(tmp_path)
    killed(process)
    assert (tmp_path / LOCK_NAME).exists()
    enter(tmp_path)
    assert not (tmp_path / LOCK_NAME).exists()


def enter(folder: Path) -> None:
    with sole_user(folder, "training", "choose another --out"):
        assert f"process {os.getpid()} on " in (folder / LOCK_NAME).read_text()


def test_a_folder_that_nothing_came_into_is_gone(tmp_path: Path) -> None:
    enter(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    with sole_user(tmp_path / "new", "training", "x"):
        (tmp_path / "new" / "work").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["work"]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot write to .*file: .*; choose another --out"):
        enter(tmp_path / "file")


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import errno
    import fcntl

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    enter(tmp_path)
    assert (
        "does not support locks (Operation not supported); make sure that no other process writes there" in caplog.text
    )


def test_changes_in_turn_are_never_lost(tmp_path: Path) -> None:
    """The lock file is made and removed again and again meanwhile."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(40):
            with in_turn(tmp_path):
                number = int(counter.read_text())
                time.sleep(0.0)
                counter.write_text(str(number + 1))

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "240"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_two_studies_keep_all_records_of_one_folder(tmp_path: Path) -> None:
    rows = [f"row{number}" for number in range(12)]

    def keep(own: list[str]) -> None:
        for row in own:
            keep_record(tmp_path, record(row), {})

    threads = [threading.Thread(target=keep, args=(rows[place::3],)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.row for each in read_records(tmp_path)) == sorted(rows)


def test_two_evaluations_in_one_folder_are_harmless(tiny_dataset: Path, tmp_path: Path) -> None:
    """Each file takes its place whole, and both write the same ones."""
    together, alone = tmp_path / "together", tmp_path / "alone"

    def command(output: Path) -> list[str]:
        models = ["--model", "mmff94", "--model", "zero", "--dataset", str(tiny_dataset)]
        return [sys.executable, "-m", "harness", *models, "--output", str(output), "--quiet", "--json"]

    running = [subprocess.Popen(command(together), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    expected = subprocess.run(command(alone), capture_output=True, text=True, check=True).stdout
    assert {_without_dates_and_costs(output) for output in outputs} == {_without_dates_and_costs(expected)}
    names = [
        sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.parent.name != TIMING_NAME)
        for output in (together, alone)
    ]
    assert names[0] == names[1]
    for path in alone.rglob(f"*/{RESULT_NAME}"):
        found = (together / path.relative_to(alone)).read_text()
        assert _without_dates_and_costs(found) == _without_dates_and_costs(path.read_text())
    for path in alone.rglob("*.parquet"):
        assert (together / path.relative_to(alone)).read_bytes() == path.read_bytes()


def _without_dates_and_costs(text: str) -> str:
    documents = [json.loads(text)] if text.startswith("{\n") else [json.loads(line) for line in text.splitlines()]
    return json.dumps(
        [{key: value for key, value in each.items() if key not in ("created", "cost")} for each in documents]
    )


@pytest.mark.parametrize("command", ["build", "relabel"])
def test_a_second_build_in_one_folder_is_refused(
    tiny_dataset: Path, tmp_path: Path, holder: Holder, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "edition"
    process = holder(out)
    options = {
        "build": ["build", "--edition", "mini", "--task", "task1", "--out", str(out)],
        "relabel": ["relabel", str(tiny_dataset), "--labels", "wb97x", "--out", str(out)],
    }
    assert build(options[command]) == 6
    error = capsys.readouterr().err
    assert f"{out} is in use by another" in error
    assert f"process {process.pid} on " in error
    assert [path.name for path in out.iterdir()] == [LOCK_NAME]

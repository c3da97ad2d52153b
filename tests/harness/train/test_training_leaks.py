"""No path of training opens a file of a test split: watched by the system, so that no way of opening one is missed."""

import ast
import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import harness.train
from dataset_builders.chemistry.levels import Level
from harness.core.training_record import read_training_record
from harness.data.dataset import PinnedDataset
from harness.export import batches, to_ase, to_pyg
from harness.export import dataset_reading as reading
from harness.export.command import main as export
from harness.train import task_data as training_data
from harness.train.data_source import TrainingSplit
from harness.train.state import STATE_FILE
from tests.harness.potentials.foundation_models import random_ani1x
from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.training_set import (
    SHAPE,
    TEST_SPLITS,
    file_of,
    interrupting_after,
    train,
    train_without_drawing,
    write_training_set,
)
from tests.loopback_hub import LoopbackHub

IN_OPEN = 0x20
SHORT = ("--epochs", "1", "--validations", "1")


@contextlib.contextmanager
def watched(directory: Path) -> Iterator[list[str]]:
    """Lists, after the block, the files of test splits that were opened in it, by this process or any other."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells which files are opened")
    system = ctypes.CDLL(None, use_errno=True)
    descriptor = system.inotify_init1(os.O_NONBLOCK)
    watches = {
        system.inotify_add_watch(descriptor, os.fsencode(path), IN_OPEN): path.name
        for path in sorted(directory.rglob("test_*"))
    }
    assert len(watches) == len(TEST_SPLITS) * len(list(directory.glob("task*")))
    assert min(watches) > 0, os.strerror(ctypes.get_errno())
    opened: list[str] = []
    try:
        yield opened
        with contextlib.suppress(BlockingIOError):
            events = os.read(descriptor, 65536)
            # An event without a name is 16 bytes, of which the first four are the number of the watch.
            opened += [watches[int.from_bytes(events[at : at + 4], sys.byteorder)] for at in range(0, len(events), 16)]
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("painn", ()),
        ("mace", ()),
        ("dimenet++", ("--radial-features", "2")),  # whose formulas take seconds each
        ("visnet", ()),
        ("painn-local", ("--layers", "1")),
        ("painn", ("--delta", "mmff94")),
        ("painn", ("--delta", "gfn1-xtb")),
    ],
)
def test_training_opens_no_test_file(
    dataset: Path, tmp_path: Path, architecture: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if architecture == "dimenet++":
        monkeypatch.setattr("harness.networks.pyg.SPHERICAL_FUNCTIONS", 2)
    with watched(dataset) as opened:
        assert train(dataset, tmp_path / "model", "--arch", architecture, *SHORT, *options) == 0
    assert opened == []


def test_fine_tuning_opens_no_test_file(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("mace")
    train(dataset, tmp_path / "painn", *SHORT)
    models = [
        tmp_path / "painn",
        random_ani1x(tmp_path),
        saved(small_mace(), tmp_path / "small.model"),
    ]
    with watched(dataset) as opened:
        for model in models:
            trust = ("--trust-checkpoint", "--init", str(model))
            assert train(dataset, tmp_path / f"tuned-{model.stem}", *SHORT, *trust, shape=()) == 0
    assert opened == []


def test_an_interrupted_run_that_goes_on_opens_no_test_file(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*SHORT, "--delta", "mmff94")
    with watched(dataset) as opened:
        with monkeypatch.context() as patched:
            patched.setattr("harness.train.loop.write_state", interrupting_after(1))
            with pytest.raises(KeyboardInterrupt):
                train(dataset, tmp_path / "model", *options)
        assert (tmp_path / "model" / STATE_FILE).exists()
        train(dataset, tmp_path / "model", *options)
    assert opened == []


@pytest.mark.parametrize("form", ["extxyz", "ase-db", "npz", "lmdb"])
def test_an_export_opens_no_test_file(dataset: Path, tmp_path: Path, form: str) -> None:
    if form == "lmdb":
        pytest.importorskip("ase_db_backends")
    with watched(dataset) as opened:
        assert export([str(dataset), "--task", "task2", "--format", form, "--out", str(tmp_path / "out")]) == 0
    assert opened == []


@pytest.mark.parametrize("split", ["train", "validation"])
def test_frames_in_python_open_no_test_file(dataset: Path, split: str) -> None:
    with watched(dataset) as opened:
        for frames in (to_ase, batches, *([to_pyg] if find_spec("torch_geometric") else [])):
            assert sum(1 for _ in frames(str(dataset), "task2", split))
    assert opened == []


def test_only_training_files_of_the_task_are_exported_from_the_hub(
    dataset: Path, tmp_path: Path, hub: LoopbackHub
) -> None:
    files = {path.relative_to(dataset).as_posix(): path.read_bytes() for path in dataset.rglob("*.parquet")}
    other = {path.replace("task2", "task3"): content for path, content in files.items()}
    commit = hub.add_repo("org/data", "dataset", {**files, **other, "README.md": b"# Data\n"})
    out = tmp_path / "out"
    assert export(["org/data", "--task", "task2", "--format", "npz", "--out", str(out)]) == 0
    asked_for = " ".join(request.path for request in hub.log if "/resolve/" in request.path)
    assert "task2/train-" in asked_for
    assert "test_" not in asked_for
    assert "task3" not in asked_for
    record = read_training_record(out / "mlip-ood.json")
    assert (record.dataset.id, record.dataset.revision) == ("org/data", commit)


def test_only_training_files_of_the_task_come_from_the_hub(dataset: Path, tmp_path: Path, hub: LoopbackHub) -> None:
    files = {path.relative_to(dataset).as_posix(): path.read_bytes() for path in dataset.rglob("*.parquet")}
    other = {path.replace("task2", "task3"): content for path, content in files.items()}
    hub.add_repo("org/data", "dataset", {**files, **other, "README.md": b"# Data\n"})
    command = ["--dataset", "org/data", "--task", "task2", "--out", str(tmp_path / "model"), "--device", "cpu"]
    assert train_without_drawing([*command, *SHAPE, *SHORT]) == 0
    asked_for = " ".join(request.path for request in hub.log if "/resolve/" in request.path)
    assert "task2/train-" in asked_for
    assert "task2/validation-" in asked_for
    assert "test_" not in asked_for
    assert "task3" not in asked_for


@pytest.mark.parametrize("split", TEST_SPLITS)
@pytest.mark.parametrize("by", ["pyarrow", "python", "copy"])
def test_a_leak_is_noticed(dataset: Path, tmp_path: Path, split: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever plants a leak, in Python or below it, is found by the watch above."""
    pin = training_data.pin_training_files

    def leaking(directory: Path, task: str, level: Level) -> PinnedDataset:
        path = file_of(directory, split)
        match by:
            case "pyarrow":
                with contextlib.suppress(Exception):
                    pq.read_table(path)
            case "python":
                path.read_bytes()
            case _:
                shutil.copy(path, tmp_path / "copy")
        return pin(directory, "task2", level)

    monkeypatch.setattr(training_data, "pin_training_files", leaking)
    with watched(dataset) as opened:
        train(dataset, tmp_path / "model", *SHORT)
    assert set(opened) == {file_of(dataset, split).name}


@pytest.mark.parametrize("split", TEST_SPLITS)
def test_a_leak_of_an_export_is_noticed(
    dataset: Path, tmp_path: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = reading.pin_training_files

    def leaking(directory: Path, task: str, level: Level, splits: Collection[TrainingSplit]) -> PinnedDataset:
        file_of(directory, split).read_bytes()
        return pin(directory, task, level, splits)

    monkeypatch.setattr(reading, "pin_training_files", leaking)
    with watched(dataset) as opened:
        export([str(dataset), "--task", "task2", "--format", "npz", "--out", str(tmp_path / "out")])
    assert set(opened) == {file_of(dataset, split).name}


def test_the_code_of_training_names_nothing_that_reads_test_splits() -> None:
    """What opens test splits cannot be imported either: the contract `Training cannot test` of import-linter."""
    forbidden = {"open_dataset", "open_levels", "read_task", "read_reference_rows", "SPLITS", *TEST_SPLITS}
    for path in Path(harness.train.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        names |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not names & forbidden, f"{path.name} names {names & forbidden}"

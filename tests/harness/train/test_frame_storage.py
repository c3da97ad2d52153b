"""Frames of a training in memory and in files: the same numbers, and nothing left behind."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import SetupError
from harness.train import frame_storage, growing_array, task_data
from harness.train.baseline import subtract_baseline
from harness.train.frame_storage import FrameStorage
from harness.train.growing_array import GrowingArray
from harness.train.packed_frames import PackedFrames, batches, largest_size
from harness.train.task_data import FramePlan, TrainingData, read_training_data
from tests.harness.training_set import CUTOFF, train, write_training_set

ARRAYS = ("atomic_numbers", "positions", "forces", "energy", "n_atoms", "edges", "n_edges")
LENGTH = ("--epochs", "2", "--validations", "2")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.mark.parametrize("options", [(), ("--train-frames", "6"), ("--delta", "mmff94")], ids=["all", "few", "delta"])
def test_weights_do_not_depend_on_where_frames_are_held(
    options: tuple[str, ...], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for when in ("never", "always"):
        assert train(dataset, tmp_path / when, *LENGTH, *options, "--frames-on-disk", when) == 0
    weights = [(tmp_path / when / "model.safetensors").read_bytes() for when in ("never", "always")]
    assert weights[0] == weights[1]
    names = [sorted(path.name for path in (tmp_path / when).iterdir()) for when in ("never", "always")]
    assert names[0] == names[1]
    assert f"held in files in {tmp_path / 'always'} until the command ends" in capsys.readouterr().out


@pytest.mark.parametrize("n_frames", [None, 6])
def test_pieces_give_the_arrays_of_one_piece(
    n_frames: int | None, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(place: str, when: str) -> TrainingData:
        folder = tmp_path / place
        folder.mkdir()
        plan = FramePlan(subtract_baseline("mmff94", folder, 1), n_frames, FrameStorage(when, folder))
        return read_training_data(dataset, "task2", CUTOFF, plan)

    whole = read("whole", "never")
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", 3)
    monkeypatch.setattr(task_data, "_FRAMES_COUNTED_AT_ONCE", 4)
    for when in ("never", "always"):
        pieces = read(f"pieces-{when}", when)
        assert len(list((tmp_path / f"pieces-{when}").glob("baseline_mmff94_train-*.npz"))) > 1
        assert (pieces.reference_energies, pieces.reference_rank) == (whole.reference_energies, whole.reference_rank)
        for split in ("train", "validation"):
            for name in ARRAYS:
                found, expected = (getattr(getattr(each, split), name) for each in (pieces, whole))
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == expected.dtype
        assert isinstance(pieces.train.positions, np.memmap) == (when == "always")
        assert largest_size(pieces.train.n_atoms) >= sum(_sizes(pieces.train))


def _sizes(frames: PackedFrames) -> list[int]:
    return [getattr(frames, name).nbytes for name in ("atomic_numbers", "positions", "forces", "edges")]


def test_a_batch_is_read_from_files_as_from_memory(dataset: Path, tmp_path: Path) -> None:
    on_disk = FramePlan(storage=FrameStorage("always", tmp_path))
    plans = (FramePlan(), on_disk)
    frames = [read_training_data(dataset, "task2", CUTOFF, plan).train for plan in plans]
    order = np.array([7, 0, 12, 3, 3])
    for here, there in zip(*(batches(each, order, 2, CUTOFF, "cpu") for each in frames), strict=True):
        for name in ("Z", "R", "neighbour_list"):
            one, other = getattr(here.graph, name), getattr(there.graph, name)
            np.testing.assert_array_equal(one.numpy(), other.numpy())
            assert one.is_contiguous()
            assert other.is_contiguous()
        np.testing.assert_array_equal(here.forces.numpy(), there.forces.numpy())


def test_files_are_used_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for available, in_files in ((None, False), (401, False), (399, True)):
        monkeypatch.setattr(frame_storage, "available_memory", lambda available=available: available)
        found = FrameStorage("auto", tmp_path).folder_for(100)
        assert found == (tmp_path if in_files else None)
        assert FrameStorage("always", tmp_path).folder_for(100) == tmp_path
        assert FrameStorage("never", tmp_path).folder_for(100) is None


def test_a_disk_without_room_is_refused_before_frames_are_read(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"need up to 1,000,000,000\.0 GB in files, and .* left; free space there"):
        FrameStorage("always", tmp_path).folder_for(10**18)


def test_a_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(growing_array.tempfile, "TemporaryFile", lambda **_: Full())
    growing = GrowingArray(np.float32, (3,), tmp_path)
    with pytest.raises(SetupError, match=r"No space left on device; free some space .* --frames-on-disk never"):
        growing.append(np.zeros((2, 3)))


@pytest.mark.parametrize("on_disk", [False, True])
def test_an_array_grows_by_pieces(on_disk: bool, tmp_path: Path) -> None:
    growing = GrowingArray(np.int32, (2,), tmp_path if on_disk else None)
    parts = [np.arange(6).reshape(3, 2), np.empty((0, 2)), np.arange(8).reshape(2, 4).T]
    for part in parts:
        growing.append(part)
    found = growing.whole()
    np.testing.assert_array_equal(found, np.concatenate(parts))
    assert found.dtype == np.int32
    assert list(tmp_path.iterdir()) == []
    empty = GrowingArray(np.int32, (2,), tmp_path if on_disk else None).whole()
    assert empty.shape == (0, 2)

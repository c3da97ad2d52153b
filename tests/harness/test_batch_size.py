from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.batch_size import MOST, ON_CPU, batch_atoms_for, probed
from harness.batching import make_plan
from harness.dataset import open_dataset
from harness.identity import run_identity
from harness.manifest import earlier_batch_atoms
from harness.models import resolve_model
from harness.run import RunOptions, evaluate_model
from harness.scan import scan_dataset
from harness.structures import StructureBatch
from harness.windows import Window, read_windows
from tests.harness.toy_potential import TRAITS, Harmonic

MIB = 2**20


@pytest.fixture
def window(tiny_dataset: Path) -> Window:
    dataset = open_dataset(str(tiny_dataset))
    return next(read_windows(dataset, make_plan(scan_dataset(dataset, ("task1",)), 100)))


class Device:
    """A device whose memory the largest batch so far has taken, 100 MiB at once and then some for each atom."""

    def __init__(self, total: int, per_atom: int) -> None:
        self.total, self.per_atom, self.most = total, per_atom, 0

    def take(self, batch: StructureBatch) -> None:
        if 100 * MIB + self.per_atom * len(batch.atomic_numbers) > self.total:
            raise torch.OutOfMemoryError("full")
        self.most = max(self.most, len(batch.atomic_numbers))

    def free(self) -> int:
        return self.total - 100 * MIB - self.per_atom * self.most if self.most else self.total


def test_on_a_cpu_the_number_is_fixed() -> None:
    def nothing() -> Iterator[Window]:
        raise AssertionError("the data set was read")
        yield

    assert batch_atoms_for(Harmonic(), nothing()) == ON_CPU


def test_on_a_gpu_it_fills_the_memory(window: Window) -> None:
    device = Device(8 * 1024 * MIB, MIB // 8)
    # 0.6 of 8 GiB, 128 KiB an atom: 39,321 atoms, and 2^15 is the largest power of two below.
    assert probed(Harmonic(before=device.take), window, device.free) == 2**15


def test_there_is_a_most(window: Window) -> None:
    device = Device(1024 * 1024 * MIB, 1024)
    assert probed(Harmonic(before=device.take), window, device.free) == MOST


@pytest.mark.parametrize(("total", "expected"), [(300, 1024), (150, 256)])
def test_sizes_that_do_not_fit_are_not_taken(window: Window, total: int, expected: int) -> None:
    device = Device(total * MIB, MIB // 10)
    assert probed(Harmonic(before=device.take), window, device.free) == expected


def test_a_run_goes_on_with_the_number_that_it_began_with(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    evaluate_model(resolve_model("zero"), dataset, RunOptions(output=tmp_path, batch_atoms=64, quiet=True))
    traits = replace(TRAITS, model_id="zero", family="zero", files={}, packages=("numpy",), dtype="float64")
    identity = run_identity(traits, dataset, dataset.tasks, 0)
    assert earlier_batch_atoms(tmp_path, "zero", identity) == 64
    assert earlier_batch_atoms(tmp_path, "zero", identity | {"dataset_hash": "1"}) is None
    assert earlier_batch_atoms(tmp_path / "elsewhere", "zero", identity) is None

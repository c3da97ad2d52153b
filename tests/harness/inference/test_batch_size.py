from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.compute.meter import Footprint, meter_of
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.inference.batch_size import MOST, ON_CPU, PROBED, UNMEASURED, batch_atoms_for, probed
from harness.inference.batching import make_plan
from harness.inference.windows import Window, read_windows
from harness.models.resolve import resolve_model
from harness.results.identity import run_identity
from harness.results.manifest import earlier_batch_atoms
from harness.worker.client import WorkerPotential, WorkerSpec
from harness.worker.loading import loaded
from tests.harness.toy_potential import TRAITS, Harmonic

MIB = 2**20


@pytest.fixture
def window(tiny_dataset: Path) -> Window:
    dataset = open_dataset(str(tiny_dataset))
    return next(read_windows(dataset, make_plan(scan_dataset(dataset, ("task1",)), 100)))


class Device:
    """A device on which batches take memory, 100 MiB at once and then some for each atom; it is its own meter."""

    def __init__(self, total: int, per_atom: float, once: int = 100 * MIB, power: float = 1.0) -> None:
        self.total, self.per_atom, self.once, self.power = total, per_atom, once, power
        self.tried: list[int] = []
        self.taken = 0

    def take(self, batch: StructureBatch) -> None:
        n_atoms = len(batch.atomic_numbers)
        self.tried.append(n_atoms)
        taken = self.once + int(self.per_atom * n_atoms**self.power)
        if taken > self.total:
            raise torch.OutOfMemoryError("full")
        self.taken = max(self.taken, taken)

    def begin(self) -> None:
        self.taken = 0

    def end(self) -> Footprint | None:
        return Footprint(self.total, self.taken, self.taken)

    def potential(self) -> Harmonic:
        return Harmonic(before=self.take)


def test_on_a_cpu_the_number_is_fixed() -> None:
    def nothing() -> Iterator[Window]:
        raise AssertionError("the data set was read")
        yield

    assert batch_atoms_for(Harmonic(), nothing()) == ON_CPU


def test_on_a_gpu_it_fills_the_memory(window: Window) -> None:
    device = Device(8 * 1024 * MIB, MIB / 8)
    # 0.6 of 8 GiB, 128 KiB an atom and 100 MiB once, which count as 25 KiB more: 32,914 atoms, and 2^15 lies below.
    assert probed(device.potential(), window, device) == 2**15


def test_there_is_a_most(window: Window) -> None:
    device = Device(1024 * 1024 * MIB, 1024)
    assert probed(device.potential(), window, device) == MOST


@pytest.mark.parametrize(
    ("total", "expected", "tried"),
    [
        (300, 1024, [1024, 1024, 4096]),
        (150, 256, [1024, 256]),
        (107, 64, [1024, 256, 64]),
        (50, 16, [1024, 256, 64, 16]),
    ],
)
def test_sizes_that_do_not_fit_are_not_taken(window: Window, total: int, expected: int, tried: list[int]) -> None:
    device = Device(total * MIB, MIB / 10)
    assert probed(device.potential(), window, device) == expected
    assert [abs(found - wanted) < 20 for found, wanted in zip(device.tried, tried, strict=True)] == [True] * len(tried)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory"), MemoryError()])
def test_a_full_device_by_another_name_is_one(window: Window, error: Exception) -> None:
    def take(batch: StructureBatch) -> None:
        if len(batch.atomic_numbers) > 2000:
            raise error

    assert probed(Harmonic(before=take), window, Device(10**12, 1)) == PROBED[0]


class Deaf(Device):
    """What batches take is not seen."""

    def end(self) -> Footprint | None:
        return Footprint(self.total, 7 * MIB, 0)


class Unable(Device):
    def end(self) -> Footprint | None:
        return None


@pytest.mark.parametrize("kind", [Deaf, Unable])
def test_where_nothing_is_seen_to_grow_the_number_is_one_that_fitted(window: Window, kind: type[Device]) -> None:
    device = kind(1024 * 1024 * MIB, 1024)
    assert probed(device.potential(), window, device) == UNMEASURED
    assert max(device.tried) <= UNMEASURED


def test_without_a_meter_the_number_is_one_that_fitted(window: Window) -> None:
    device = Device(1024 * 1024 * MIB, 1024)
    assert probed(device.potential(), window, None) == UNMEASURED
    assert max(device.tried) <= UNMEASURED < max(device.tried) + 20


def test_memory_that_shrinks_tells_nothing(window: Window) -> None:
    device = Device(1024 * 1024 * MIB, -1.0)
    assert probed(device.potential(), window, device) == UNMEASURED


@pytest.mark.parametrize("once", [0, 100 * MIB])
def test_memory_that_grows_as_the_square_is_not_taken_for_a_line(window: Window, once: int) -> None:
    device = Device(1024 * MIB, 1.0, once=once, power=2.0)
    found = probed(device.potential(), window, device)
    assert found == 2**14
    assert once + found**2 < device.total


def test_the_first_batch_of_all_is_not_measured(window: Window) -> None:
    """It takes what is taken once, and would make the second look small."""

    class Lazy(Device):
        def take(self, batch: StructureBatch) -> None:
            first = not self.tried
            super().take(batch)
            if first:
                self.taken += 4096 * MIB

    device = Lazy(8 * 1024 * MIB, MIB / 8)
    assert probed(device.potential(), window, device) == 2**15


def test_the_meter_is_the_one_of_the_potential(window: Window) -> None:
    device = Device(8 * 1024 * MIB, MIB / 8)

    class WithMeter(Harmonic):
        def meter(self) -> Device:
            return device

    potential = WithMeter(replace(TRAITS, device="cuda:0"), before=device.take)
    assert batch_atoms_for(potential, iter([window])) == 2**15


def test_memory_is_that_of_the_worker(window: Window, tmp_path: Path) -> None:
    """What this process takes does not tell what its worker takes."""
    (tmp_path / "limit").write_text("1000000 torch")
    spec = WorkerSpec("crowded", tmp_path / "limit", LoadOptions(), module_folders=(Path(__file__).parents[1],))
    worker = WorkerPotential(spec)
    # 0.6 of 128 MiB, 1000 bytes an atom: 80,530 atoms.
    assert probed(worker, window, meter_of(worker)) == 2**16
    (tmp_path / "limit").write_text("2000 torch")
    assert probed(worker, window, meter_of(worker)) == PROBED[0]
    worker.close()


def test_a_run_goes_on_with_the_number_that_it_began_with(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    evaluate_model(resolve_model("zero"), dataset, RunOptions(output=tmp_path, batch_atoms=64, quiet=True))
    # Not traits by hand: they say what the environment of this process sets, too.
    with loaded(resolve_model("zero"), LoadOptions()) as potential:
        identity = run_identity(potential.traits, dataset, dataset.tasks, 0)
    assert earlier_batch_atoms(tmp_path, "zero", identity) == 64
    assert earlier_batch_atoms(tmp_path, "zero", identity | {"dataset_hash": "1"}) is None
    assert earlier_batch_atoms(tmp_path / "elsewhere", "zero", identity) is None

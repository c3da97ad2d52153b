"""A GPU that is too small for some batches changes no number; its memory is measured where it is taken."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.core.potential import LoadOptions, Potential
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.inference.batch_size import batch_atoms_for
from harness.inference.batching import Plan, make_plan
from harness.inference.predict import compute_shards
from harness.inference.shards import PredictionReader, Predictions
from harness.inference.windows import Window, read_windows
from harness.worker.client import WorkerPotential, WorkerSpec

if TYPE_CHECKING:
    from tests.gpu.scratch_potential import Scratch

pytestmark = pytest.mark.gpu

HERE = Path(__file__).parent
MIB = 2**20
NEEDS = {"graph": MIB // 8, "forward": MIB}
IDENTITY = {"model_hash": "a"}


@pytest.fixture(scope="module")
def mini() -> PinnedDataset:
    return open_dataset("mini")


@pytest.fixture(scope="module")
def plan(mini: PinnedDataset) -> Plan:
    """Batches of 300 atoms; the largest molecule has 41."""
    return make_plan(scan_dataset(mini, ("task4",)), 300)


@pytest.fixture
def window(mini: PinnedDataset, plan: Plan) -> Window:
    return next(read_windows(mini, plan))


@pytest.fixture
def run(mini: PinnedDataset, plan: Plan, tmp_path: Path) -> Callable[[Potential, str], dict[str, bytes]]:
    def files(potential: Potential, name: str) -> dict[str, bytes]:
        compute_shards(potential, plan, read_windows(mini, plan), tmp_path / name, IDENTITY)
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    return files


@pytest.fixture
def allowed() -> Iterator[Callable[[int], None]]:
    """Holds this process to so many bytes beyond what it has, until the test ends."""
    import torch

    from tests.gpu.scratch_potential import allow

    torch.zeros(1, device="cuda:0")
    yield allow
    torch.cuda.set_per_process_memory_fraction(1.0, 0)
    torch.cuda.empty_cache()


def scratch(graph: int, forward: int) -> "Scratch":
    from tests.gpu.scratch_potential import Needs, Scratch

    return Scratch(Needs(graph, forward))


def worker(folder: Path, allowed: int, **needs: int) -> WorkerPotential:
    (folder / "needs").write_text(json.dumps({"allowed": allowed, **needs}))
    return WorkerPotential(
        WorkerSpec("scratch_potential", folder / "needs", LoadOptions(), module_folders=(HERE,), batch_seconds=120.0)
    )


@pytest.mark.parametrize("mib", [80, 120, 200, 320])
def test_in_this_process(
    run: Callable[[Potential, str], dict[str, bytes]], allowed: Callable[[int], None], mib: int
) -> None:
    import torch

    undisturbed = run(scratch(**NEEDS), "undisturbed")
    potential = scratch(**NEEDS)
    allowed(mib * MIB)
    before = torch.cuda.memory_allocated(0)
    assert run(potential, "small") == undisturbed
    # It did not fit, and whenever a batch was computed again nothing else lay on the device.
    assert potential.beside
    assert max(potential.beside) - before < MIB
    first, *later = potential.sizes
    assert max(later[-20:]) < first


@pytest.mark.parametrize("mib", [80, 200])
def test_in_a_worker(run: Callable[[Potential, str], dict[str, bytes]], tmp_path: Path, mib: int) -> None:
    undisturbed = run(scratch(**NEEDS), "undisturbed")
    potential = worker(tmp_path, mib * MIB, **NEEDS)
    assert run(potential, "small") == undisturbed
    potential.close()


def test_the_batch_size_follows_from_the_memory_of_this_process(window: Window, allowed: Callable[[int], None]) -> None:
    potential = scratch(graph=0, forward=MIB // 16)
    allowed(2048 * MIB)
    # 0.6 of 2 GiB, 64 KiB an atom and a little: 2^14 atoms would take half of it.
    assert batch_atoms_for(potential, iter([window])) == 2**14


def test_the_batch_size_follows_from_the_memory_of_a_worker(window: Window, tmp_path: Path) -> None:
    potential = worker(tmp_path, 2048 * MIB, graph=0, forward=MIB // 16)
    assert batch_atoms_for(potential, iter([window])) == 2**14
    potential.close()


def test_a_meter_sees_what_is_taken_and_given_back() -> None:
    import torch

    from harness.compute.meter import CudaMeter

    meter = CudaMeter("cuda:0")
    for n_bytes in (300 * MIB, 100 * MIB):
        meter.begin()
        tensor = torch.empty(n_bytes, dtype=torch.uint8, device="cuda:0")
        del tensor
        footprint = meter.end()
        assert footprint.in_use == n_bytes
        assert n_bytes <= footprint.taken < n_bytes + 64 * MIB
        assert footprint.available > n_bytes


def test_a_network_of_this_project(
    mini: PinnedDataset, plan: Plan, tmp_path: Path, allowed: Callable[[int], None]
) -> None:
    pytest.importorskip("graph_pes")
    from harness.compute.meter import CudaMeter
    from harness.models.registry import load_potential
    from harness.models.resolve import resolve_model

    def predicted(potential: Potential, name: str) -> Predictions:
        compute_shards(potential, plan, read_windows(mini, plan), tmp_path / name, IDENTITY)
        return PredictionReader(plan, tmp_path / name, IDENTITY).at(np.arange(plan.n_frames))

    potential = load_potential(resolve_model("reference"), LoadOptions(device="cuda:0", dtype="float64"))
    window = next(read_windows(mini, plan))
    first = window.batch(*plan.shards[0].bounds[:2])
    potential.compute(first)
    meter = CudaMeter("cuda:0")
    meter.begin()
    potential.compute(first)
    taken = meter.end().in_use
    whole = predicted(potential, "whole")
    allowed(max(taken // 2, 24 * MIB))
    small = predicted(potential, "small")
    assert whole.failures == small.failures == {}
    np.testing.assert_allclose(small.energy, whole.energy, rtol=1e-10)
    np.testing.assert_allclose(small.forces, whole.forces, rtol=1e-4, atol=1e-5)

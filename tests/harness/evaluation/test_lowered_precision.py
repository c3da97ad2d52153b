import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import ModelError
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import Isolation, LoadOptions, Potential, PotentialTraits
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.job_choice import JobChoice
from harness.evaluation.lowered_precision import Lowering, lowered_precision, sampled_places
from harness.evaluation.run import FinishedRun, RunOptions, evaluate_again, evaluate_model, evaluate_potential
from harness.inference.batching import Plan, make_plan
from harness.inference.windows import structures_at
from harness.models.registry import ModelSource, load_potential
from harness.models.resolve import resolve_model
from harness.results.lowered_precision import LoweredPrecision
from harness.results.manifest import Manifest
from harness.results.result import RunResult
from tests.harness.small_checkpoint import write_small_checkpoint
from tests.harness.toy_potential import TRAITS, Harmonic

FLOAT32 = replace(TRAITS, dtype="float32", saved_dtype="float64")
TOY = ModelSource("toy", Family("toy", "tests.harness.toy_potential", "numpy"), None)


@dataclass
class Rounded:
    """A harmonic potential that is 2 eV off in each energy, and 0.5 eV/Å in one force component of each structure."""

    traits: PotentialTraits = FLOAT32
    n_failing: int = 0

    def compute(self, batch: StructureBatch) -> Prediction:
        exact = Harmonic().compute(batch)
        exact.forces[batch.offsets[:-1], 0] += 0.5
        failing = range(min(self.n_failing, batch.n_structures))
        return Prediction(exact.energy + 2.0, exact.forces, dict.fromkeys(failing, "no convergence"))


@pytest.fixture(scope="module")
def plan(tiny_dataset: Path) -> Plan:
    dataset = open_dataset(str(tiny_dataset))
    return make_plan(scan_dataset(dataset, dataset.tasks), 10**6)


def measured(
    tiny_dataset: Path, plan: Plan, lowered: Potential, exact: Potential | None, *, is_requested: bool = True
) -> LoweredPrecision | None:
    again = None if exact is None else lambda: contextlib.nullcontext(exact)
    return lowered_precision(Lowering(lowered, is_requested, again), open_dataset(str(tiny_dataset)), plan)


def test_differences_are_those_of_the_sample(tiny_dataset: Path, plan: Plan) -> None:
    found = measured(tiny_dataset, plan, Rounded(), Harmonic())
    assert found is not None
    sizes = plan.n_atoms[sampled_places(plan, 64, 0)]
    assert (found.saved, found.seed, found.n_structures, found.n_atoms) == ("float64", 0, 64, sizes.sum())
    assert found.largest_force == pytest.approx(0.5)
    assert found.mean_force == pytest.approx(0.5 * 64 / (3 * sizes.sum()))
    assert found.largest_energy_per_atom == pytest.approx(2.0 / sizes.min())
    assert found.mean_energy_per_atom == pytest.approx((2.0 / sizes).mean())


def test_a_family_that_does_not_tell_is_asked_by_loading(tiny_dataset: Path, plan: Plan) -> None:
    silent = Rounded(replace(FLOAT32, saved_dtype=None))
    found = measured(tiny_dataset, plan, silent, Harmonic())
    assert found is not None
    assert found.saved == "float64"
    assert measured(tiny_dataset, plan, silent, Harmonic(silent.traits)) is None


@pytest.mark.parametrize(
    ("dtype", "saved", "is_requested"),
    [
        ("float32", "float32", True),
        ("float32", "float16", True),
        ("float64", "float32", True),
        ("float32", None, False),
    ],
)
def test_a_precision_that_is_not_lower_is_not_compared(
    dtype: str, saved: str | None, is_requested: bool, tiny_dataset: Path, plan: Plan
) -> None:
    potential = Harmonic(replace(TRAITS, dtype=dtype, saved_dtype=saved))  # type: ignore[arg-type]
    assert measured(tiny_dataset, plan, potential, None, is_requested=is_requested) is None


def test_structures_that_fail_are_counted_and_left_out(tiny_dataset: Path, plan: Plan) -> None:
    found = measured(tiny_dataset, plan, Rounded(n_failing=1), Harmonic())
    assert found is not None
    assert found.n_failed > 0
    assert found.n_structures + found.n_failed == 64
    assert found.largest_force == pytest.approx(0.5)
    assert f"{found.n_structures} structures, {found.n_failed} more failed" in found.text


@contextlib.contextmanager
def full() -> Iterator[Potential]:
    raise MemoryError("no room")
    yield


@contextlib.contextmanager
def refusing() -> Iterator[Potential]:
    raise ModelError("m.model was saved in float8; choose --dtype float32 or float64")
    yield


def test_what_cannot_be_compared_says_why(tiny_dataset: Path, plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    dataset = open_dataset(str(tiny_dataset))
    only = partial(contextlib.nullcontext, Harmonic(FLOAT32))
    broken = partial(contextlib.nullcontext, Rounded(replace(TRAITS, dtype="float64"), n_failing=64))
    reasons = {only: "the family toy computes in float32 only", full: "no room", broken: "all 64 structures failed"}
    cases = {**reasons, None: "it was handed over after it was loaded"}
    with caplog.at_level(logging.WARNING):
        for again, reason in cases.items():
            found = lowered_precision(Lowering(Harmonic(FLOAT32), True, again), dataset, plan)
            assert found is not None
            assert (found.reason, found.n_structures, found.largest_force) == (reason, 0, None)
            assert f"float32 not compared with float64 of the checkpoint: {reason}" in caplog.text
    unknown = replace(FLOAT32, saved_dtype=None)
    found = lowered_precision(Lowering(Harmonic(unknown), True, refusing), dataset, plan)
    assert found is not None
    assert found.text.startswith("not compared with the precision of the checkpoint: m.model was saved in float8")


def test_an_error_of_the_code_is_not_taken_for_a_reason(tiny_dataset: Path, plan: Plan) -> None:
    def wrong(batch: StructureBatch) -> None:
        raise ZeroDivisionError("a mistake")

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        measured(tiny_dataset, plan, Rounded(), Harmonic(before=wrong))


def test_a_sample_takes_as_many_of_each_split(plan: Plan) -> None:
    places = sampled_places(plan, 24, 0)
    assert len(set(places.tolist())) == len(places) == 24
    assert places.tolist() == sorted(places.tolist())
    counts = [len(set(places.tolist()) & set(rows.tolist())) for rows in plan.rows.values()]
    assert min(counts) >= 24 // len(plan.rows)
    assert (places == sampled_places(plan, 24, 0)).all()
    assert (places != sampled_places(plan, 24, 1)).any()
    assert sampled_places(plan, 10**6, 0).tolist() == list(range(plan.n_frames))


def test_structures_are_those_at_the_places(tiny_dataset: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(tiny_dataset))
    everything = structures_at(dataset, plan, np.arange(plan.n_frames))
    some = structures_at(dataset, plan, np.array([1, 5]))
    assert some.n_structures == 2
    assert some.n_atoms.tolist() == plan.n_atoms[[1, 5]].tolist()
    assert (some.positions[: some.n_atoms[0]] == everything.slice(1, 2).positions).all()
    assert (some.positions[some.n_atoms[0] :] == everything.slice(5, 6).positions).all()


class Loads:
    """Loads the toy in the precision that is asked for, and counts how often."""

    def __init__(self) -> None:
        self.wanted: list[str | None] = []

    def __call__(self, model: object, options: LoadOptions) -> Potential:
        self.wanted.append(options.dtype)
        return Rounded() if options.dtype == "float32" else Harmonic(replace(TRAITS, saved_dtype="float64"))


def test_a_run_keeps_what_it_measured_first(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads()
    monkeypatch.setattr("harness.worker.loading.load_potential", loads)

    def evaluated(dtype: str | None, output: Path = tmp_path) -> FinishedRun:
        load = LoadOptions(dtype=dtype)  # type: ignore[arg-type]
        options = RunOptions(("task4",), output, batch_atoms=30, load=load, quiet=True)
        run = evaluate_model(TOY, open_dataset(str(tiny_dataset)), options)
        assert run is not None
        return run

    assert evaluated(None).result.model.lowered_precision is None
    assert loads.wanted == [None]
    first = evaluated("float32")
    lowered = first.result.model.lowered_precision
    assert loads.wanted == [None, "float32", None]
    assert lowered is not None
    assert lowered.largest_force == pytest.approx(0.5)
    written = (first.directory / "result.json").read_bytes()
    # Killed before its last shard was written.
    max((first.directory / "predictions").glob("*.parquet")).unlink()
    (first.directory / "result.json").unlink()
    again = evaluated("float32")
    assert again.directory == first.directory
    assert again.result.model == first.result.model
    assert again.result.tasks == first.result.tasks
    assert loads.wanted == [None, "float32", None, "float32"]
    # Killed before anything was measured, and not killed at all: the same bytes but for date and cost.
    other = evaluated("float32", tmp_path / "other")
    assert other.result.model_copy(update={"created": first.result.created}) == first.result
    assert evaluate_again(first.directory).result == again.result
    assert b'"lowered_precision": {' in written
    # A reason is no measurement: the next command tries again.
    manifest = Manifest.load(first.directory)
    missing = LoweredPrecision(saved="float64", seed=0, n_structures=0, n_atoms=0, reason="the device was full")
    manifest.model_copy(update={"model": manifest.model.model_copy(update={"lowered_precision": missing})}).save(
        first.directory
    )
    assert evaluated("float32").result.model.lowered_precision == lowered


def test_a_potential_that_was_handed_over_says_so(tiny_dataset: Path, tmp_path: Path) -> None:
    options = RunOptions(("task4",), tmp_path, quiet=True)
    run = evaluate_potential(Rounded(), [open_dataset(str(tiny_dataset))], options, is_known=True)
    assert run is not None
    lowered = RunResult.load(run.directory / "result.json").model.lowered_precision
    assert lowered is not None
    assert lowered.reason == "it was handed over after it was loaded"


def test_measuring_changes_no_prediction(tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real network beside itself in another precision, in one process and in workers."""
    path = write_small_checkpoint(tmp_path / "painn", "task4", "float64")
    dataset = open_dataset(str(tiny_dataset))
    load = LoadOptions(device="cpu", dtype="float32")
    isolations: tuple[Isolation, ...] = ("never", "never", "always")
    files, found = [], []
    for number, isolation in enumerate(isolations):
        with monkeypatch.context() as patch:
            if number == 0:
                patch.setattr("harness.evaluation.examination.lowered_precision", lambda *_: None)
            options = RunOptions(
                (), tmp_path / str(number), 200, load, isolation, quiet=True, jobs=JobChoice(threads=1)
            )
            run = evaluate_model(resolve_model(str(path)), dataset, options)
        assert run is not None
        files.append({each.name: each.read_bytes() for each in (run.directory / "predictions").iterdir()})
        found.append(run.result.model.lowered_precision)
    assert files[0] == files[1] == files[2]
    assert found[0] is None
    assert found[1] is not None
    assert found[1] == found[2]
    expected = _by_hand(str(path), dataset, load)
    assert {name: getattr(found[1], name) for name in expected} == pytest.approx(expected, rel=0.5)
    assert 0.0 < expected["mean_force"] < expected["largest_force"] < 1e-4


def _by_hand(path: str, dataset: PinnedDataset, load: LoadOptions) -> dict[str, float]:
    """The same from the registry's potentials and all structures in one batch, which rounds otherwise."""
    plan = make_plan(scan_dataset(dataset, ("task4",)), 200)
    batch = structures_at(dataset, plan, sampled_places(plan, 64, 0))
    single = load_potential(path, load).compute(batch)
    double = load_potential(path, replace(load, dtype="float64")).compute(batch)
    energies, forces = np.abs(single.energy - double.energy) / batch.n_atoms, np.abs(single.forces - double.forces)
    return {
        "n_structures": batch.n_structures,
        "largest_force": float(forces.max()),
        "mean_force": float(forces.mean()),
        "largest_energy_per_atom": float(energies.max()),
        "mean_energy_per_atom": float(energies.mean()),
    }

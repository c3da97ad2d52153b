import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError, ModelError, SetupError
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.rows import read_split
from harness.data.scan import scan_dataset
from harness.inference.batching import Plan, make_plan
from harness.inference.predict import compute_shards
from harness.inference.progress import OnStructures, no_progress
from harness.inference.shards import PredictionReader, Predictions
from harness.inference.windows import read_windows
from harness.results.result import RunResult
from harness.scoring.joining import join_task, sum_task
from tests.harness.toy_potential import SPRING, Harmonic

IDENTITY = {"model_hash": "a", "dataset_hash": "b"}


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> PinnedDataset:
    return open_dataset(str(tiny_dataset))


@pytest.fixture
def plan(dataset: PinnedDataset, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 32)
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", 1000)
    return make_plan(scan_dataset(dataset, ("task1",)), 100)


@pytest.fixture
def predict(dataset: PinnedDataset) -> "Predict":
    return Predict(dataset)


@dataclass
class Predict:
    dataset: PinnedDataset

    def __call__(
        self, potential: Potential, plan: Plan, directory: Path, on_structures: OnStructures = no_progress
    ) -> Predictions:
        compute_shards(potential, plan, read_windows(self.dataset, plan), directory, IDENTITY, on_structures)
        return PredictionReader(plan, directory, IDENTITY).at(np.arange(plan.n_frames))


def test_predictions_are_those_of_the_potential_for_every_row(
    dataset: PinnedDataset, predict: Predict, plan: Plan, tmp_path: Path
) -> None:
    predict(Harmonic(), plan, tmp_path)
    frames = join_task(dataset, "task1", "control", plan, PredictionReader(plan, tmp_path, IDENTITY))
    for split in (frames.test_id, frames.test_ood):
        written = read_split(dataset, "task1", split.index.split)
        assert np.array_equal(split.reference.energy, written.energy)
        assert np.array_equal(split.reference.forces, written.forces)
        for row, (start, stop) in enumerate(zip(written.offsets[:-1], written.offsets[1:], strict=True)):
            positions = written.positions[start:stop].astype(np.float64)
            arm = positions - positions.mean(axis=0)
            assert split.predicted.energy[row] == pytest.approx(0.5 * SPRING * (arm**2).sum(), rel=1e-14)
            assert split.predicted.forces[start:stop] == pytest.approx(-SPRING * arm, rel=1e-6, abs=1e-7)


def test_finished_shards_are_not_computed_again(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    first, second = Harmonic(), Harmonic()
    before = predict(first, plan, tmp_path)
    counted: list[tuple[int, str]] = []
    after = predict(second, plan, tmp_path, lambda number, source: counted.append((number, source)))
    assert sum(first.sizes) == plan.n_frames
    assert second.sizes == []
    assert counted == [(shard.stop - shard.start, "resumed") for shard in plan.shards]
    assert np.array_equal(before.forces, after.forces)


def test_an_interruption_leaves_finished_shards(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    def interrupt(batch: StructureBatch) -> None:
        if list(tmp_path.glob("*.parquet")):
            raise KeyboardInterrupt("by the user")

    with pytest.raises(KeyboardInterrupt, match="by the user"):
        predict(Harmonic(before=interrupt, delay=0.1), plan, tmp_path)
    # What was computed when the interruption came is written all the same.
    n_written = len(list(tmp_path.glob("*.parquet")))
    assert 1 <= n_written < len(plan.shards)
    rest = Harmonic()
    resumed = predict(rest, plan, tmp_path)
    assert sum(rest.sizes) == plan.n_frames - plan.shards[n_written - 1].stop
    whole = predict(Harmonic(), plan, tmp_path / "whole")
    assert np.array_equal(resumed.energy, whole.energy)


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_shard_is_computed_again(
    predict: Predict, plan: Plan, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    predict(Harmonic(), plan, tmp_path)
    path = tmp_path / f"{plan.shards[1].name}.parquet"
    good = path.read_bytes()
    content = bytearray(good)
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes({"flipped": bytes(content), "cut": good[:-100], "emptied": b""}[damage])
    again = Harmonic()
    with caplog.at_level(logging.WARNING):
        predict(again, plan, tmp_path)
    assert sum(again.sizes) == plan.shards[1].stop - plan.shards[1].start
    assert path.read_bytes() == good
    assert f"{path.name}" in caplog.text
    assert "structures are computed again" in caplog.text


def test_damaged_predictions_are_named_with_the_remedy(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    predict(Harmonic(), plan, tmp_path)
    path = tmp_path / f"{plan.shards[1].name}.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    reader = PredictionReader(plan, tmp_path, IDENTITY)
    with pytest.raises(DataError, match=rf"{path.name} cannot be read .*; evaluate the model again with the same opt"):
        reader.at(np.arange(plan.n_frames))


def test_every_flipped_byte_is_noticed_or_harmless(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    truth = predict(Harmonic(), plan, tmp_path)
    path = tmp_path / f"{plan.shards[0].name}.parquet"
    good = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(good), size=40):
        content = bytearray(good)
        content[place] ^= 0x5A
        path.write_bytes(content)
        try:
            found = PredictionReader(plan, tmp_path, IDENTITY).at(np.arange(plan.n_frames))
        except DataError:
            continue
        assert np.array_equal(found.energy, truth.energy)
        assert np.array_equal(found.forces, truth.forces)


def test_shards_of_another_model_are_not_taken(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    predict(Harmonic(), plan, tmp_path)
    with pytest.raises(DataError, match="are damaged, or belong to another model, data set or code"):
        PredictionReader(plan, tmp_path, IDENTITY | {"model_hash": "c"}).at(np.arange(plan.n_frames))


def test_an_unfinished_run_cannot_be_read(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    predict(Harmonic(), plan, tmp_path)
    (tmp_path / f"{plan.shards[2].name}.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks the predictions of .* start it again with the same options"):
        PredictionReader(plan, tmp_path, IDENTITY).at(np.arange(plan.n_frames))


def test_a_batch_that_does_not_fit_is_halved(
    predict: Predict, plan: Plan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch = pytest.importorskip("torch")

    def refuse(batch: StructureBatch) -> None:
        if len(batch.atomic_numbers) > 30:
            raise torch.OutOfMemoryError("no memory")

    small = Harmonic(before=refuse)
    halved = predict(small, plan, tmp_path / "halved")
    whole = predict(Harmonic(), plan, tmp_path / "whole")
    assert sum(small.sizes) == plan.n_frames
    assert max(small.sizes) <= 3
    assert np.array_equal(halved.energy, whole.energy)
    assert np.array_equal(halved.forces, whole.forces)
    assert "does not fit in the memory of cpu; it is halved" in caplog.text


def test_a_structure_that_alone_does_not_fit_is_named(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    def refuse(batch: StructureBatch) -> None:
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(SetupError, match=r"OH-6-H alone \(21 atoms\) does not fit in the memory of cpu"):
        predict(Harmonic(before=refuse), plan, tmp_path)


class Failing(Harmonic):
    """Reports one structure as failed and says nothing of another that is not finite."""

    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        if batch.n_structures < 4 or "F" in batch.smiles[2] or "F" in batch.smiles[3]:
            return prediction
        forces = prediction.forces.copy()
        forces[batch.offsets[3]] = np.nan
        return Prediction(prediction.energy, forces, {2: "no SCF"})


def test_failures_are_kept_with_their_cause(
    dataset: PinnedDataset, predict: Predict, plan: Plan, tmp_path: Path
) -> None:
    predictions = predict(Failing(), plan, tmp_path)
    causes = set(predictions.failures.values())
    assert causes == {"no SCF", "energy or forces are not finite"}
    failed = np.isin(np.arange(plan.n_frames), list(predictions.failures))
    assert np.array_equal(np.isnan(predictions.energy), failed)
    assert np.array_equal(np.isnan(predictions.forces).all(axis=1), np.repeat(failed, plan.n_atoms))
    frames = join_task(dataset, "task1", "control", plan, PredictionReader(plan, tmp_path, IDENTITY))
    listed = [
        (failure.molecule.molecule_id, failure.trajectory, failure.frame, failure.cause)
        for part in (frames.train, frames.test_id, frames.test_ood)
        for failure in part.failures
    ]
    names = plan.names(0, plan.n_frames)
    expected = [
        (names.molecule_id[place], names.trajectory[place], names.frame[place], cause)
        for place, cause in predictions.failures.items()
    ]
    assert sorted(listed) == sorted(expected)


def test_a_cause_that_no_file_can_be_written_with_is_made_printable(
    predict: Predict, plan: Plan, tmp_path: Path
) -> None:
    class Strange(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            failures = {0: "half a pair \ud800 \x1b[31m"} if batch.n_structures > 1 else {}
            return replace(super().compute(batch), failures=failures)

    causes = predict(Strange(), plan, tmp_path).failures.values()
    assert set(causes) == {"half a pair \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}[31m"}


@pytest.mark.parametrize("whole", [False, True], ids=["one number", "all"])
def test_masked_numbers_are_a_failure(predict: Predict, plan: Plan, tmp_path: Path, whole: bool) -> None:
    class Masking(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            found = super().compute(batch)
            mask = np.zeros(found.forces.shape, dtype=bool)
            mask[: batch.n_atoms[0] if whole else 1] = True
            return replace(found, forces=np.ma.masked_array(found.forces, mask))

    predictions = predict(Masking(), plan, tmp_path)
    assert set(predictions.failures.values()) == {"energy or forces are not finite"}
    assert len(predictions.failures) == sum(len(shard.bounds) - 1 for shard in plan.shards)


@dataclass
class Scaled(Harmonic):
    """Forces and energies of some structures are multiplied by something; in a precision of choice."""

    chosen: int = 2
    energy_factor: float = 1.0
    force_factor: float = 1.0
    dtype: type = np.float64

    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        if batch.n_structures <= self.chosen:
            return prediction
        energy, forces = prediction.energy.astype(self.dtype), prediction.forces.astype(self.dtype)
        with np.errstate(over="ignore"):
            energy[self.chosen] *= self.energy_factor
            forces[batch.offsets[self.chosen]] = self.force_factor
        return Prediction(energy, forces, {})


@pytest.mark.parametrize(
    ("potential", "cause"),
    [
        (Scaled(force_factor=1e39), "beyond the range of single precision"),
        (Scaled(force_factor=-3.5e38), "beyond the range of single precision"),
        (Scaled(force_factor=np.inf), "not finite"),
        (Scaled(force_factor=-np.inf), "not finite"),
        (Scaled(energy_factor=np.nan), "not finite"),
        (Scaled(force_factor=np.inf, dtype=np.float32), "not finite"),
        (Scaled(energy_factor=1e300), "beyond the range of single precision"),
        (Scaled(energy_factor=np.longdouble("1e400"), dtype=np.longdouble), "beyond the range of single precision"),
        (Scaled(energy_factor=1e30, dtype=np.longdouble), None),
        (Scaled(force_factor=3.4e38), None),
        (Scaled(force_factor=1e-46), None),
    ],
)
def test_what_is_stored_is_finite_or_a_failure(
    predict: Predict, plan: Plan, tmp_path: Path, potential: Scaled, cause: str | None
) -> None:
    predictions = predict(potential, plan, tmp_path)
    failed = np.isin(np.arange(plan.n_frames), list(predictions.failures))
    assert failed.any() == (cause is not None)
    assert all(cause is not None and cause in each for each in predictions.failures.values())
    assert np.isfinite(predictions.energy[~failed]).all()
    assert np.isfinite(predictions.forces[np.repeat(~failed, plan.n_atoms)]).all()
    # The others are kept, and a second look at the folder finds nothing to do and nothing damaged.
    whole = predict(Harmonic(), plan, tmp_path / "whole")
    kept = ~failed & np.isclose(predictions.energy, whole.energy, rtol=1e-6)
    assert kept.sum() >= plan.n_frames - sum(len(shard.bounds) - 1 for shard in plan.shards)
    again = Scaled()
    predict(again, plan, tmp_path)
    assert again.sizes == []


@pytest.mark.parametrize(
    ("energy_factor", "force_factor", "cause"),
    [
        (1e300, 1.0, "beyond the range of single precision"),
        (1.0, np.nan, "not finite"),
        (1.0, 1e300, "beyond the range"),
    ],
)
def test_a_model_that_fails_on_all_is_refused(
    predict: Predict, plan: Plan, tmp_path: Path, energy_factor: float, force_factor: float, cause: str
) -> None:
    class Useless(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            whole = super().compute(batch)
            return Prediction(whole.energy * energy_factor, whole.forces * force_factor, {})

    with pytest.raises(ModelError, match=rf"toy failed on all \d+ structures, the last with: .*{cause}"):
        predict(Useless(), plan, tmp_path)


def test_forces_that_overflow_are_counted_and_the_rest_is_scored(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    plan = make_plan(scan_dataset(dataset, ("task1",)), 100)
    compute_shards(Scaled(force_factor=1e39), plan, read_windows(dataset, plan), tmp_path, IDENTITY)
    totals = sum_task(dataset, "task1", "control", plan, PredictionReader(plan, tmp_path, IDENTITY))
    failures = [*totals.test_id.failures, *totals.test_ood.failures]
    assert failures
    assert {failure.cause for failure in failures} == {
        "energy or forces are beyond the range of single precision, 3.4e38 eV or eV/Å"
    }
    assert all(np.isfinite(sums.numerator).all() for sums in totals.test_id.forces.values())


@pytest.mark.parametrize("dtype", [np.complex128, np.bool_, object])
def test_arrays_of_anything_but_real_numbers_are_the_models_fault(
    predict: Predict, plan: Plan, tmp_path: Path, dtype: type
) -> None:
    with pytest.raises(ModelError, match=r"energy of toy has dtype .*; expected real numbers"):
        predict(Scaled(dtype=dtype), plan, tmp_path)


@pytest.mark.parametrize("number", [-1, 99])
def test_a_failure_of_no_structure_is_refused(predict: Predict, plan: Plan, tmp_path: Path, number: int) -> None:
    class Elsewhere(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            return replace(super().compute(batch), failures={number: "no SCF"})

    with pytest.raises(ModelError, match=f"toy reports the failure of structure {number} in a batch of"):
        predict(Elsewhere(), plan, tmp_path)


class Misshapen(Harmonic):
    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        return replace(prediction, forces=prediction.forces[:-1])


def test_arrays_of_a_wrong_shape_are_refused(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="forces of toy has shape"):
        predict(Misshapen(), plan, tmp_path)


def test_a_folder_that_cannot_be_written_is_named(predict: Predict, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"cannot write predictions to .*file.*choose a folder with --output"):
        predict(Harmonic(), plan, tmp_path / "file")


@pytest.fixture
def killed(tiny_dataset: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """A run of another process, killed with SIGKILL when three shards were there."""
    command = [sys.executable, "-m", "tests.harness.slow_run", str(tiny_dataset), str(tmp_path / "killed")]
    process = subprocess.Popen([*command, "0.2"], env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "killed").glob("*/*/predictions/*.parquet"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run made no shards"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return command, tmp_path / "killed"


def test_a_killed_run_ends_as_one_that_was_not(
    killed: tuple[list[str], Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    command, output = killed
    (predictions,) = output.glob("*/*/predictions")
    done = {path.name: path.stat().st_mtime_ns for path in predictions.glob("*.parquet")}
    assert not (predictions.parent / "result.json").exists()
    for folder in (output, tmp_path / "whole"):
        subprocess.run([*command[:-1], str(folder), "0"], check=True, capture_output=True)
    (whole,) = (tmp_path / "whole").glob("*/*/predictions")
    assert {path.name for path in whole.iterdir()} == {path.name for path in predictions.glob("*.parquet")}
    for path in whole.iterdir():
        assert path.read_bytes() == (predictions / path.name).read_bytes()
    assert all((predictions / name).stat().st_mtime_ns == written for name, written in done.items())
    results = [RunResult.load(folder.parent / "result.json") for folder in (predictions, whole)]
    assert results[0].model_dump(exclude={"created", "cost"}) == results[1].model_dump(exclude={"created", "cost"})
    assert predictions.parent.name == whole.parent.name

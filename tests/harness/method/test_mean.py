import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dataset_builders.core.errors import DataError
from harness.method.document import seeds_of_task
from harness.method.mean import mean_task
from harness.results.result import Failure
from harness.scoring.intervals import IntervalSettings
from harness.scoring.paired_frames import Labels, TaskFrames
from tests.harness.frame_tables import evaluate_frames, make_task

SETTINGS = IntervalSettings()
PARTS = ("test_id", "test_ood", "near", "far")


def frames_with(errors: dict[str, np.ndarray], of: TaskFrames) -> TaskFrames:
    """The same labels, and predictions of forces that miss them by these errors."""
    changed = {}
    for split, error in errors.items():
        frames = getattr(of, split)
        predicted = Labels(frames.predicted.energy, frames.reference.forces + error)
        changed[split] = replace(frames, predicted=predicted)
    return replace(of, **changed)


@pytest.fixture(scope="module")
def seeds():
    """Frames of two seeds on the same labels, and frames with the mean of their errors, component by component."""
    base = make_task()
    rng = np.random.default_rng(5)
    shapes = {split: getattr(base, split).reference.forces.shape for split in ("test_id", "test_ood")}
    one, other = ({split: rng.normal(0.0, 0.1, shape) for split, shape in shapes.items()} for _ in range(2))
    mean = {split: (np.abs(one[split]) + np.abs(other[split])) / 2.0 for split in shapes}
    return [frames_with(errors, base) for errors in (one, other, mean)]


@pytest.fixture(scope="module")
def results(seeds):
    return [evaluate_frames(frames, SETTINGS) for frames in seeds]


def test_the_mean_of_force_errors_is_that_of_one_result_with_the_mean_errors(results):
    one, other, expected = results
    mean = mean_task([one, other], SETTINGS)
    for part in PARTS:
        found, wanted = (each.splits[part].metrics["force_mae"] for each in (mean, expected))
        assert found.value == pytest.approx(wanted.value, rel=1e-12)
        if wanted.low is None:  # too few molecules
            assert (found.low, found.reason) == (None, wanted.reason)
        else:
            assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
        values = [each.splits[part].metrics["force_mae"].value for each in (one, other)]
        assert found.value == pytest.approx(statistics.fmean(values), rel=1e-15)
        assert mean.splits[part].zero_force_mae == one.splits[part].zero_force_mae
    assert (mean.gap.value, mean.gap.low, mean.gap.high) == pytest.approx(
        (expected.gap.value, expected.gap.low, expected.gap.high), rel=1e-12
    )
    errors = [mean.splits[part].metrics["force_mae"].value for part in ("test_ood", "test_id")]
    assert mean.gap.value == pytest.approx(errors[0] / errors[1], rel=1e-12)


def test_the_score_is_the_mean_of_the_scores_and_its_interval_is_paired(results):
    """By hand: the influence of each molecule on the mean of the two scores, and Student's t."""
    one, other, _ = results
    mean = mean_task([one, other], SETTINGS)
    assert mean.score.value == pytest.approx((one.score.value + other.score.value) / 2.0, rel=1e-15)
    rows = [[row for row in each.by_molecule if row.split == "test_ood"] for each in (one, other)]
    weights = np.array([row.n_atoms for row in rows[0]]) / sum(row.n_atoms for row in rows[0])
    zero = np.array([row.zero_force_mae for row in rows[0]])

    def score(weights):
        scale = np.log((weights @ zero) / weights.sum())
        errors = [np.log((weights @ np.array([row.force_mae for row in of])) / weights.sum()) for of in rows]
        return np.mean([100.0 * (scale - error) / (scale - np.log(0.001)) for error in errors])

    n = len(weights)
    moved = np.eye(n) * weights * 1e-5
    influences = np.array([(score(weights + step) - score(weights - step)) / 2e-5 for step in moved])
    # One molecule a cluster: the sum of squares with n / (n - 1), and n - 1 degrees of freedom.
    reach = stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1) * (influences**2).sum())
    assert (mean.score.low, mean.score.high) == pytest.approx(
        (max(mean.score.value - reach, 0.0), min(mean.score.value + reach, 100.0)), rel=1e-6
    )


def test_relative_energies_are_averaged_by_molecule(results):
    base = make_task()
    rng = np.random.default_rng(7)

    def shifted():
        frames = base.test_ood
        energy = frames.reference.energy + rng.normal(0.0, 0.05, frames.reference.energy.shape)
        return replace(base, test_ood=replace(frames, predicted=Labels(energy, frames.predicted.forces)))

    several = [evaluate_frames(frames, SETTINGS) for frames in (shifted() for _ in range(3))]
    mean = mean_task(several, SETTINGS)
    found = mean.splits["test_ood"].metrics["centred_energy_mae"]
    values = [each.splits["test_ood"].metrics["centred_energy_mae"].value for each in several]
    assert found.value == pytest.approx(statistics.fmean(values), rel=1e-15)
    assert found.low < found.value < found.high
    assert mean.energy_gap.low < mean.energy_gap.value < mean.energy_gap.high
    rows = zip(*([row.centred_energy_mae for row in each.by_molecule] for each in several), strict=True)
    assert [row.centred_energy_mae for row in mean.by_molecule] == [statistics.fmean(row) for row in rows]


def test_other_metrics_are_means_without_an_interval(results):
    mean = mean_task(results[:2], SETTINGS)
    for name, found in mean.splits["test_ood"].metrics.items():
        values = [each.splits["test_ood"].metrics[name].value for each in results[:2]]
        assert found.value == pytest.approx(statistics.fmean(values), rel=1e-15)
        if name not in ("force_mae", "centred_energy_mae"):
            assert "no interval: results do not store it by molecule" in found.reason
    (first, *_), (one, *_) = mean.by_spacer, results[0].by_spacer
    assert (first.split, first.spacer, first.n_molecules) == (one.split, one.spacer, one.n_molecules)
    assert first.force_mae.low is None
    assert mean.reference_shift is None


def test_one_seed_is_its_own_result_and_has_no_spread(results):
    assert mean_task(results[:1], SETTINGS) is results[0]
    spread = seeds_of_task([0], results[:1]).numbers["score"]
    assert (spread.values, spread.standard_deviation) == ((results[0].score.value,), None)


def test_the_spread_is_the_sample_standard_deviation(results):
    numbers = seeds_of_task([0, 1, 2], results).numbers
    values = [each.splits["near"].metrics["force_mae"].value for each in results]
    assert numbers["near_force_mae"].standard_deviation == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert numbers["gap"].values == tuple(each.gap.value for each in results)


def test_a_seed_with_failures_leaves_no_score_no_gap_and_no_interval(results):
    one, other, _ = results
    failure = Failure(split="test_ood", molecule_id="CN-2-OH", trajectory="primary", frame=0, cause="NaN")
    undefined = other.score.model_copy(update={"value": None, "low": None, "high": None, "reason": "a frame failed"})
    splits = {
        name: split.model_copy(update={"n_failed": int(name in ("test_ood", "near"))})
        for name, split in other.splits.items()
    }
    broken = other.model_copy(
        update={"failures": (failure,), "n_failed": 1, "score": undefined, "gap": undefined, "splits": splits}
    )
    mean = mean_task([one, broken], SETTINGS)
    assert (mean.n_failed, mean.score.value, mean.gap.value) == (1, None, None)
    found = mean.splits["test_ood"].metrics["force_mae"]
    assert found.value is not None
    assert found.low is None
    assert "1 frames failed" in found.reason
    assert mean.n_failed_in("near") == 1


def test_results_of_other_tasks_or_frames_are_refused(results):
    one, other, _ = results
    with pytest.raises(
        DataError, match="results of task3 and task2; a mean over seeds requires results of a single task"
    ):
        mean_task([one, other.model_copy(update={"task": "task2"})], SETTINGS)
    fewer = other.model_copy(update={"by_molecule": other.by_molecule[1:]})
    with pytest.raises(
        DataError, match="of different molecules or frames; a mean over seeds requires the same data set"
    ):
        mean_task([one, fewer], SETTINGS)
    flat = other.model_copy(update={"splits": {name: other.splits[name] for name in ("test_id", "test_ood")}})
    with pytest.raises(DataError, match="of different splits"):
        mean_task([one, flat], SETTINGS)

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from dataset_builders.core.errors import DataError, ShapeError
from harness.results.result import TaskResult
from harness.scoring import metrics
from harness.scoring.intervals import IntervalSettings
from harness.scoring.paired_frames import Labels, SplitFrames, TaskFrames, TrainFrames, index_molecules
from harness.scoring.task_result import compare_force_mae
from tests.harness.frame_tables import OOD_WORDS, evaluate_frames, make_task, permute

SETTINGS = IntervalSettings()


@pytest.fixture(scope="module")
def frames() -> TaskFrames:
    return make_task()


@pytest.fixture(scope="module")
def result(frames: TaskFrames) -> TaskResult:
    return evaluate_frames(frames, SETTINGS)


def value(result: TaskResult, split: str, metric: str) -> float:
    found = result.splits[split].metrics[metric].value  # type: ignore[index]
    assert found is not None
    return found


def test_every_metric_stands_in_every_part_with_its_unit(result: TaskResult) -> None:
    assert set(result.splits) == {"test_id", "test_ood", "near", "far"}
    for which, part in result.splits.items():
        assert {name: estimate.unit for name, estimate in part.metrics.items()} == dict(metrics.UNITS)
        for name, estimate in part.metrics.items():
            assert estimate.value is not None, name
            # Two molecules of `near` and of `far` are too few, and no atom here has a short force.
            assert (estimate.low is None) is (which in ("near", "far") or name == "force_cosine_left_out"), name


def test_metrics_of_a_split_are_those_of_its_arrays(frames: TaskFrames, result: TaskResult) -> None:
    ood = frames.test_ood
    forces = (ood.predicted.forces, ood.reference.forces)
    energies = (ood.predicted.energy, ood.reference.energy)
    idx = ood.index.molecule_idx
    expected = {
        "force_mae": metrics.force_mae(*forces),
        "force_rmse": metrics.force_rmse(*forces),
        "force_cosine": metrics.force_cosine(*forces),
        "force_cosine_left_out": metrics.force_cosine_left_out(*forces),
        "force_magnitude_mae": metrics.force_magnitude_mae(*forces),
        "force_error_fraction": metrics.force_error_fraction(*forces),
        "centred_energy_mae": metrics.centred_energy_mae(*energies, idx),
        "centred_energy_spearman": metrics.centred_energy_spearman(*energies, idx),
        "raw_energy_mae": metrics.raw_energy_mae(*energies),
    }
    for name, number in expected.items():
        assert value(result, "test_ood", name) == pytest.approx(number), name
    assert value(result, "test_ood", "force_mae") == pytest.approx(mean_absolute_error(*forces))
    assert result.splits["test_ood"].zero_force_mae.value == pytest.approx(np.mean(np.abs(ood.reference.forces)))
    assert result.splits["test_ood"].n_atoms == len(ood.index.atomic_numbers)


def test_gap_and_score_follow_from_the_force_errors(result: TaskResult) -> None:
    ood, known = value(result, "test_ood", "force_mae"), value(result, "test_id", "force_mae")
    assert result.gap.value == pytest.approx(ood / known)
    assert result.gap.value == pytest.approx(4.0, rel=0.15)
    zero = result.splits["test_ood"].zero_force_mae.value
    assert zero is not None
    assert result.score.value == pytest.approx(metrics.task_score(ood, zero))
    low, score, high = result.score.low, result.score.value, result.score.high
    assert low is not None
    assert score is not None
    assert high is not None
    assert low <= score <= high
    energies = [value(result, split, "centred_energy_mae") for split in ("test_ood", "test_id")]
    assert result.energy_gap.value == pytest.approx(energies[0] / energies[1])


def test_near_and_far_make_up_the_ood_split(frames: TaskFrames, result: TaskResult) -> None:
    near, far, both = (result.splits[name] for name in ("near", "far", "test_ood"))
    assert (near.n_molecules, far.n_molecules, both.n_molecules) == (2, 2, 4)
    assert near.n_frames + far.n_frames == both.n_frames
    error = np.abs(frames.test_ood.predicted.forces - frames.test_ood.reference.forces)
    is_far = np.array([molecule.spacer == 6 for molecule in frames.test_ood.index.molecules])
    assert value(result, "far", "force_mae") == pytest.approx(
        error[is_far[frames.test_ood.index.atom_molecule_idx]].mean()
    )


def test_task_without_subsets_has_none() -> None:
    frames = make_task("task1")
    plain = tuple(replace(molecule, subset="") for molecule in frames.test_ood.index.molecules)
    ood = replace(frames.test_ood, index=replace(frames.test_ood.index, molecules=plain))
    assert set(evaluate_frames(replace(frames, test_ood=ood), SETTINGS).splits) == {"test_id", "test_ood"}


def test_errors_by_spacer_pair_and_molecule(frames: TaskFrames, result: TaskResult) -> None:
    spacers = [(row.split, row.spacer, row.n_molecules) for row in result.by_spacer]
    assert spacers == [("test_id", 2, 4), ("test_id", 4, 4), ("test_ood", 2, 2), ("test_ood", 6, 2)]
    pairs = [(row.left, row.right, row.n_molecules) for row in result.by_pair if row.split == "test_ood"]
    assert pairs == [("CN", "OH", 2), ("Cl", "OH", 2)]
    assert sum(row.split == "test_id" for row in result.by_pair) == 4
    rows = {row.molecule_id: row for row in result.by_molecule if row.split == "test_ood"}
    assert set(rows) == {f"{left}-{k}-{right}" for left, k, right, _ in OOD_WORDS}
    one = rows["Cl-6-OH"]
    assert (one.n_frames, one.n_atoms) == (5, 5 * (3 * 6 + 3))
    here = np.array([molecule.molecule_id == "Cl-6-OH" for molecule in frames.test_ood.index.molecules])
    atoms, rows_here = here[frames.test_ood.index.atom_molecule_idx], here[frames.test_ood.index.molecule_idx]
    predicted, reference = frames.test_ood.predicted, frames.test_ood.reference
    assert one.force_mae == pytest.approx(metrics.force_mae(predicted.forces[atoms], reference.forces[atoms]))
    assert one.centred_energy_mae == pytest.approx(
        metrics.centred_energy_mae(predicted.energy[rows_here], reference.energy[rows_here], np.zeros(5, dtype=int))
    )


def test_single_molecule_of_a_pair_has_no_interval() -> None:
    frames = make_task()
    keep = frames.test_ood.index.molecule_idx != 0
    result = evaluate_frames(replace(frames, test_ood=frames.test_ood.keep(keep)), SETTINGS)
    alone = next(row for row in result.by_pair if row.split == "test_ood" and row.n_molecules == 1)
    assert alone.force_mae.value is not None
    assert alone.force_mae.low is None
    assert "based on 1 molecule;" in (alone.force_mae.reason or "")


def shifted(frames: SplitFrames, per_element: dict[int, float]) -> SplitFrames:
    atoms = np.array([per_element[int(number)] for number in frames.index.atomic_numbers])
    owner = np.repeat(np.arange(frames.index.n_frames), frames.index.n_atoms)
    energy = frames.predicted.energy + np.bincount(owner, atoms)
    return replace(frames, predicted=Labels(energy, frames.predicted.forces))


def test_shift_per_element_changes_the_raw_energy_error_only(frames: TaskFrames, result: TaskResult) -> None:
    per_element = {1: -13.0, 6: -1029.0, 7: -1485.0, 8: -2041.0, 17: -12520.0}
    train = SplitFrames(
        frames.train.index,
        Labels(frames.train.reference_energy, np.zeros((len(frames.train.index.atomic_numbers), 3))),
        Labels(frames.train.predicted_energy, np.zeros((len(frames.train.index.atomic_numbers), 3))),
    )
    moved = replace(
        frames,
        train=replace(frames.train, predicted_energy=shifted(train, per_element).predicted.energy),
        test_id=shifted(frames.test_id, per_element),
        test_ood=shifted(frames.test_ood, per_element),
    )
    found = evaluate_frames(moved, SETTINGS)
    for split in ("test_id", "test_ood", "near", "far"):
        assert value(found, split, "raw_energy_mae") > 1000.0
        for name in set(metrics.UNITS) - {"raw_energy_mae"}:
            assert value(found, split, name) == pytest.approx(value(result, split, name), rel=1e-6), name
    assert found.reference_shift is not None
    assert (found.reference_shift.elements, found.reference_shift.rank) == ((1, 6, 7, 8, 17), 5)
    assert (found.reference_shift.n_molecules, found.reference_shift.n_frames) == (8, 16)


def test_order_of_frames_changes_nothing(frames: TaskFrames, result: TaskResult) -> None:
    rng = np.random.default_rng(1)
    shuffled = replace(
        frames,
        test_id=permute(frames.test_id, rng.permutation(frames.test_id.index.n_frames)),
        test_ood=permute(frames.test_ood, rng.permutation(frames.test_ood.index.n_frames)),
    )
    assert_close(evaluate_frames(shuffled, SETTINGS).model_dump(), result.model_dump())


def assert_close(found: object, expected: object) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, item in expected.items():
            assert_close(found[key], item)
    elif isinstance(expected, (list, tuple)):
        assert isinstance(found, (list, tuple))
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert found == (pytest.approx(expected, rel=1e-9, abs=1e-12) if isinstance(expected, float) else expected)


def test_results_are_reproducible(frames: TaskFrames, result: TaskResult) -> None:
    assert evaluate_frames(frames, SETTINGS) == result
    wider = evaluate_frames(frames, IntervalSettings(confidence=0.99)).gap
    assert (wider.value, wider.n_clusters) == (result.gap.value, 4)
    assert wider.low is not None
    assert result.gap.low is not None
    assert wider.low < result.gap.low


def test_perfect_model_scores_100_and_has_no_gap(frames: TaskFrames) -> None:
    perfect = replace(
        frames,
        test_id=replace(frames.test_id, predicted=frames.test_id.reference),
        test_ood=replace(frames.test_ood, predicted=frames.test_ood.reference),
    )
    result = evaluate_frames(perfect, SETTINGS)
    assert (result.score.value, result.score.low) == (100.0, None)
    assert result.score.reason == "no interval: every error is zero"
    error = result.splits["test_ood"].metrics["force_mae"]
    assert (error.value, error.low, error.reason) == (
        0.0,
        None,
        "no interval: the value, 0, is at the end of its range",
    )
    assert (result.gap.value, result.gap.reason) == (None, "the error to divide by is zero")
    assert value(result, "test_ood", "centred_energy_spearman") == 1.0


def test_zero_force_model_scores_0(frames: TaskFrames) -> None:
    def silent(split: SplitFrames) -> SplitFrames:
        zeros = Labels(np.zeros_like(split.predicted.energy), np.zeros_like(split.predicted.forces))
        return replace(split, predicted=zeros)

    result = evaluate_frames(
        replace(frames, test_id=silent(frames.test_id), test_ood=silent(frames.test_ood)), SETTINGS
    )
    ood = result.splits["test_ood"].metrics
    assert result.score.value == 0.0
    assert ood["force_error_fraction"].value == 1.0
    assert ood["force_cosine"].value is None
    assert ood["centred_energy_spearman"].reason == "the predicted energies are constant within every molecule"


def test_failed_frames_are_left_out_counted_and_leave_no_score(frames: TaskFrames) -> None:
    ood = frames.test_ood
    energy, forces = ood.predicted.energy.copy(), ood.predicted.forces.copy()
    energy[7], forces[ood.index.atoms_of(np.arange(ood.index.n_frames) == 7)] = np.nan, np.nan
    broken = replace(ood, predicted=Labels(energy, forces))
    result = evaluate_frames(replace(frames, test_ood=broken.without_failures({7: "no convergence"})), SETTINGS)
    assert result.splits["test_ood"].n_frames == ood.index.n_frames - 1
    failure = result.failures[0]
    molecule = ood.index.molecules[ood.index.molecule_idx[7]].molecule_id
    assert (failure.split, failure.molecule_id, failure.trajectory) == ("test_ood", molecule, "primary")
    assert (failure.frame, failure.cause, result.n_failed) == (2, "no convergence", 1)
    assert result.score.value is None
    assert result.score.reason == "frames that failed: 1; a task with failures has no score"
    assert result.gap.value is None
    with pytest.raises(DataError, match="predicted energies is nan"):
        evaluate_frames(replace(frames, test_ood=broken), SETTINGS)


PARTS: Sequence[Literal["test_id", "test_ood"]] = ("test_id", "test_ood")


@pytest.mark.parametrize("split", PARTS)
def test_numbers_of_a_split_with_failures_say_so(
    frames: TaskFrames, result: TaskResult, split: Literal["test_id", "test_ood"]
) -> None:
    part: SplitFrames = getattr(frames, split)
    # The largest molecules, as memory takes them.
    lost = np.flatnonzero(part.index.n_atoms == part.index.n_atoms.max())
    broken = part.without_failures({int(position): "out of memory" for position in lost})
    found = evaluate_frames(replace(frames, **{split: broken}), SETTINGS)
    n, whole = len(lost), part.index.n_frames
    said = f"no interval: {n} of {whole} frames failed, and the value is that of the others"
    for name, metric in found.splits[split].metrics.items():
        assert (metric.low, metric.high, metric.reason) == (None, None, said), name
    assert found.splits[split].zero_force_mae.reason == said
    assert (found.splits[split].n_failed, found.splits[split].n_frames) == (n, whole - n)
    other = next(each for each in PARTS if each != split)
    assert found.splits[other] == result.splits[other]
    for gap in (found.gap, found.energy_gap):
        assert gap.value is None
        assert f"{n} of {split}" in (gap.reason or "")
    assert found.comparable_gap == found.gap


def test_failures_are_counted_in_each_subset_and_group(frames: TaskFrames, result: TaskResult) -> None:
    index = frames.test_ood.index
    one = [i for i in range(index.n_frames) if index.molecules[index.molecule_idx[i]].molecule_id == "Cl-6-OH"][:2]
    broken = frames.test_ood.without_failures(dict.fromkeys(one, "no SCF"))
    found = evaluate_frames(replace(frames, test_ood=broken), SETTINGS)
    assert {name: part.n_failed for name, part in found.splits.items()} == {
        "test_id": 0,
        "test_ood": 2,
        "near": 0,
        "far": 2,
    }
    assert found.splits["near"] == result.splits["near"]
    assert found.splits["far"].metrics["force_mae"].reason == (
        "no interval: 2 of 10 frames failed, and the value is that of the others"
    )
    marked = [row for row in (*found.by_spacer, *found.by_pair) if "2 of 10" in (row.force_mae.reason or "")]
    assert [getattr(row, "spacer", None) or (row.left, row.right) for row in marked] == [6, ("Cl", "OH")]
    assert {row.molecule_id: row.n_failed for row in found.by_molecule if row.n_failed} == {"Cl-6-OH": 2}


def test_failures_in_training_touch_the_energy_per_atom_alone(frames: TaskFrames, result: TaskResult) -> None:
    found = evaluate_frames(replace(frames, train=frames.train.without_failures({0: "no SCF"})), SETTINGS)
    for name, part in found.splits.items():
        energy = part.metrics["energy_mae_per_atom"]
        assert energy.value is not None
        assert energy.reason == "no interval: 1 training frames failed, which the reference shift is fitted on"
        for metric in set(part.metrics) - {"energy_mae_per_atom"}:
            assert part.metrics[metric] == result.splits[name].metrics[metric]
    assert (found.gap, found.score.value, found.n_failed) == (result.gap, None, 1)


def test_split_that_failed_whole_has_no_numbers(frames: TaskFrames) -> None:
    everything = dict.fromkeys(range(frames.test_ood.index.n_frames), "no convergence")
    result = evaluate_frames(replace(frames, test_ood=frames.test_ood.without_failures(everything)), SETTINGS)
    ood = result.splits["test_ood"]
    assert (ood.n_molecules, ood.n_frames, ood.n_atoms, result.n_failed) == (0, 0, 0, 20)
    assert all(estimate.value is None for estimate in ood.metrics.values())
    assert {estimate.reason for estimate in ood.metrics.values()} == {"all 20 frames failed"}
    for name in ("near", "far"):
        assert (result.splits[name].n_frames, result.splits[name].n_failed) == (0, 10)
        assert all(estimate.value is None for estimate in result.splits[name].metrics.values())
    assert [(row.spacer, row.force_mae.value) for row in result.by_spacer if row.split == "test_ood"] == [
        (2, None),
        (6, None),
    ]
    assert (result.gap.value, result.energy_gap.value) == (None, None)
    assert "20 of test_ood" in (result.gap.reason or "")


def test_failures_in_training_leave_the_shift_of_an_element_unknown(frames: TaskFrames) -> None:
    index = frames.train.index
    with_chlorine = [i for i in range(index.n_frames) if index.molecules[index.molecule_idx[i]].left == "Cl"]
    train = frames.train.without_failures(dict.fromkeys(with_chlorine, "no chlorine"))
    result = evaluate_frames(replace(frames, train=train), SETTINGS)
    estimate = result.splits["test_ood"].metrics["energy_mae_per_atom"]
    assert "training frames failed" in (estimate.reason or "")
    assert (result.n_failed, result.score.value) == (4, None)
    everything = frames.train.without_failures(dict.fromkeys(range(index.n_frames), "no energy"))
    assert evaluate_frames(replace(frames, train=everything), SETTINGS).reference_shift is None


def trained_on(frames: TaskFrames, *names: str) -> TaskFrames:
    """The task with training frames of some molecules alone."""
    index = frames.train.index
    keep = np.array([molecule.molecule_id in names for molecule in index.molecules])[index.molecule_idx]
    train = replace(
        frames.train,
        index=index.keep(keep),
        reference_energy=frames.train.reference_energy[keep],
        predicted_energy=frames.train.predicted_energy[keep],
    )
    return replace(frames, train=train)


def energy_per_atom(result: TaskResult) -> dict[str, tuple[float | None, str]]:
    found = {name: part.metrics["energy_mae_per_atom"] for name, part in result.splits.items()}
    return {name: (each.value, each.reason or "") for name, each in found.items()}


def test_an_element_that_training_lacks_leaves_the_energy_per_atom_open(frames: TaskFrames) -> None:
    without_chlorine = [name for name in names_of(frames.train) if not name.startswith("Cl")]
    result = evaluate_frames(trained_on(frames, *without_chlorine), SETTINGS)
    for name, (number, reason) in energy_per_atom(result).items():
        assert number is None
        assert f"of {result.splits[name].n_molecules} molecules open, the first Cl-" in reason  # type: ignore[index]
    # All else needs no training frame.
    assert result.gap == evaluate_frames(frames, SETTINGS).gap
    assert result.score.value is not None


def names_of(part: TrainFrames | SplitFrames) -> list[str]:
    return [molecule.molecule_id for molecule in part.index.molecules]


def test_one_training_composition_fixes_no_other(frames: TaskFrames) -> None:
    result = evaluate_frames(trained_on(frames, "OH-4-H"), SETTINGS)
    assert result.reference_shift is not None
    assert (result.reference_shift.rank, len(result.reference_shift.elements)) == (1, 3)
    assert all(number is None for number, _ in energy_per_atom(result).values())
    # Tested on that very composition, the shift is fixed, though the fit lacks rank.
    index = frames.test_id.index
    same = np.array([molecule.molecule_id == "OH-4-H" for molecule in index.molecules])[index.molecule_idx]
    alone = evaluate_frames(replace(trained_on(frames, "OH-4-H"), test_id=frames.test_id.keep(same)), SETTINGS)
    assert energy_per_atom(alone)["test_id"][0] is not None
    assert energy_per_atom(alone)["test_ood"][0] is None


def test_a_fit_without_full_rank_fixes_what_its_rows_add_up_to(frames: TaskFrames) -> None:
    # Chains of one series: C and H are tied, and every longer chain is a combination of two shorter ones.
    series = ["Cl-2-H", "Cl-4-H", "OH-2-H", "OH-4-H", "CN-2-H", "CN-4-H", "H-2-H"]
    result = evaluate_frames(trained_on(frames, *series), SETTINGS)
    assert all(number is not None for number, _ in energy_per_atom(result).values())
    # Without CN, near and far hold a molecule that is open each, and with it the split.
    fewer = energy_per_atom(evaluate_frames(trained_on(frames, *(x for x in series if "CN" not in x)), SETTINGS))
    assert all(number is None for number, _ in fewer.values())


def test_one_molecule_that_is_open_leaves_its_subset_open_and_no_other(frames: TaskFrames) -> None:
    near = [name for name in names_of(frames.test_id) if name.split("-")[1] == "2"]
    index = frames.test_ood.index
    kept = np.array([molecule.molecule_id in ("Cl-2-OH", "CN-6-OH") for molecule in index.molecules])
    ood = frames.test_ood.keep(kept[index.molecule_idx])
    train = [name for name in near if not name.startswith("CN")]
    found = energy_per_atom(evaluate_frames(replace(trained_on(frames, *train), test_ood=ood), SETTINGS))
    assert found["near"][0] is not None
    assert found["far"][0] is None
    assert "1 of 2 molecules open, the first CN-6-OH" in found["test_ood"][1]


def test_comparison_from_saved_results_is_that_of_the_arrays(frames: TaskFrames, result: TaskResult) -> None:
    worse = evaluate_frames(make_task(ood_error=0.4), SETTINGS)
    found = compare_force_mae(result, worse, settings=IntervalSettings())
    first, second = (value(one, "test_ood", "force_mae") for one in (result, worse))
    assert found.difference.value == pytest.approx(first - second)
    assert found.ratio.value == pytest.approx(first / second)
    assert found.difference.high is not None
    assert found.difference.high < 0.0


def test_comparison_refuses_what_is_not_the_same(frames: TaskFrames, result: TaskResult) -> None:
    with pytest.raises(DataError, match="task3 and task1; a comparison requires the same task"):
        compare_force_mae(result, evaluate_frames(make_task("task1"), SETTINGS))
    failed = evaluate_frames(replace(frames, test_id=frames.test_id.without_failures({0: "x"})), SETTINGS)
    with pytest.raises(DataError, match="1 frames of task3 failed"):
        compare_force_mae(result, failed)
    fewer = evaluate_frames(replace(frames, test_ood=frames.test_ood.keep(frames.test_ood.index.molecule_idx > 0)))
    with pytest.raises(DataError, match="different test_ood molecules"):
        compare_force_mae(result, fewer)


def test_tables_that_contradict_themselves_are_refused(frames: TaskFrames) -> None:
    index = frames.test_ood.index
    with pytest.raises(DataError, match="more than once"):
        replace(index, frame=np.zeros_like(index.frame))
    with pytest.raises(DataError, match="expected ascending names"):
        replace(index, molecules=index.molecules[::-1])
    with pytest.raises(DataError, match="make it with index_molecules"):
        replace(index, molecule_idx=np.zeros_like(index.molecule_idx))
    with pytest.raises(DataError, match=r"subset of .* is 'middle'"):
        replace(index, molecules=tuple(replace(molecule, subset="middle") for molecule in index.molecules))
    with pytest.raises(ShapeError, match="atomic_numbers of test_ood"):
        replace(index, atomic_numbers=index.atomic_numbers[1:])
    with pytest.raises(ShapeError, match="predicted energies of test_ood"):
        replace(frames.test_ood, predicted=Labels(np.zeros(3), frames.test_ood.predicted.forces))
    with pytest.raises(DataError, match="frames of test_ood are given where task3 expects frames of test_id"):
        replace(frames, test_id=frames.test_ood)
    with pytest.raises(DataError, match="failure at frame 20 of test_ood; it has 20 frames"):
        frames.test_ood.without_failures({20: "x"})


def test_molecules_of_a_table_are_found() -> None:
    columns: dict[str, Sequence[Any] | np.ndarray] = {
        "molecule_id": np.array(["OH-2-H", "Cl-2-H", "OH-2-H"], dtype=object),
        "left": ["OH", "Cl", "OH"],
        "spacer": np.array([2, 2, 2], dtype=np.int16),
        "right": ["H", "H", "H"],
        "subset": ["", "", ""],
    }
    molecules, molecule_idx = index_molecules(columns)
    assert [molecule.molecule_id for molecule in molecules] == ["Cl-2-H", "OH-2-H"]
    assert (molecules[0].left, molecules[0].spacer) == ("Cl", 2)
    np.testing.assert_array_equal(molecule_idx, [1, 0, 1])
    with pytest.raises(DataError, match="OH-2-H has subset  in one frame and far in another"):
        index_molecules({**columns, "subset": ["", "", "far"]})
    with pytest.raises(DataError, match="no column 'subset'"):
        index_molecules({name: column for name, column in columns.items() if name != "subset"})
    with pytest.raises(ShapeError, match="column left"):
        index_molecules({**columns, "left": ["OH", "Cl"]})

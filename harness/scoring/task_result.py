"""Evaluates one task: predictions and references in, metrics with intervals out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import Drawn
from harness.core.potential import TrainingProtocol
from harness.results.result import (
    Estimate,
    Failure,
    MoleculeResult,
    PartName,
    ReferenceShiftRecord,
    SplitResult,
    TaskResult,
    TrainErrors,
    no_gap_reason,
)
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.group_rows import (
    Part,
    TestSplit,
    by_fragment,
    by_molecule,
    by_pair,
    by_spacer,
    estimate_of,
    of_the_computed,
)
from harness.scoring.influences import MoleculeSums, ratio_effect, sum_by_molecule
from harness.scoring.intervals import (
    Comparison,
    Interval,
    IntervalSettings,
    Scale,
    compare_models,
    quotient_interval,
    ratio_interval,
    spearman_interval,
)
from harness.scoring.metric_terms import (
    Float64Array,
    Ratio,
    centre_energies,
    centred_energy_terms,
    energy_per_atom_terms,
    force_mae_terms,
    raw_energy_terms,
)
from harness.scoring.metrics import SCORE_FLOOR, UNITS
from harness.scoring.paired_frames import FailedFrame, TaskFrames, TrainFrames
from harness.scoring.reference_shift import ReferenceShift, fit_reference_shift
from harness.scoring.score_interval import score_interval
from harness.scoring.task_anatomy import by_contact, task_anatomy
from harness.scoring.totals import SplitTotals, TaskTotals

SUBSET_NAMES: Final[tuple[Literal["near", "far"], ...]] = ("near", "far")

_FRAMES_AT_ONCE: Final = 2**16
"""Number of frames whose energy terms are in memory at once."""

_SCALES: Final[dict[str, Scale]] = {"force_cosine": "complement", "force_cosine_left_out": "logit"}
"""Scale on which the interval of a metric is symmetric, if it is not the logarithm."""


def evaluate_task(
    task: TaskTotals | TaskFrames,
    drawn: Drawn,
    settings: IntervalSettings | None = None,
    title: str | None = None,
) -> TaskResult:
    """Computes the metrics of one task.

    Args:
        task: Its sums, or its predictions and references; failed frames are listed separately.
        drawn: Sampling unit of the intervals for each molecule; see `drawn_of_task`.
        settings: Settings of the intervals; the default if `None`.
        title: Title of a task that the data set declares.

    Returns:
        The metrics of `test_id`, `test_ood` and its subsets, the gaps, the score, and errors by
        spacer, fragment pair and molecule. If frames failed, the metrics of their split or subset cover only the
        computed frames and have a reason instead of an interval; there is no score, and no gap if a test frame failed.
        Intervals treat the reference shift as fixed.

    Raises:
        ShapeError: If an array has the wrong shape.
        DataError: If a frame that is not listed as failed contains numbers that are not finite.
    """
    settings = settings or IntervalSettings()
    totals = task if isinstance(task, TaskTotals) else TaskTotals.of(task)
    train = totals.train
    shift = fit_reference_shift(train) if train.index.n_frames else None
    named: list[tuple[PartName, SplitTotals]] = [("test_id", totals.test_id), ("test_ood", totals.test_ood)]
    named += [(name, subset) for name in SUBSET_NAMES if (subset := _subset(name, totals.test_ood)) is not None]
    parts = [_part(name, part, _shift_of_molecules(shift, part), (drawn, settings)) for name, part in named]
    test_id, test_ood = parts[:2]
    failures = (*train.failures, *totals.test_id.failures, *totals.test_ood.failures)
    gap = _gap(test_ood, test_id, "force_mae")
    return TaskResult(
        task=totals.task,
        title=title,
        protocol=totals.protocol,
        splits={part.name: _split_result(part, shift, train) for part in parts},
        gap=gap,
        energy_gap=_gap(test_ood, test_id, "centred_energy_mae"),
        score=_score(test_ood, failures),
        reference_shift=_shift_record(shift),
        by_spacer=(*by_spacer("test_id", test_id), *by_spacer("test_ood", test_ood)),
        by_pair=(*by_pair("test_id", test_id), *by_pair("test_ood", test_ood)),
        by_molecule=(*by_molecule("test_id", test_id), *by_molecule("test_ood", test_ood)),
        clusters=drawn.kind,
        by_fragment=tuple(by_fragment(test_id, test_ood)),
        failures=tuple(map(_failure, failures)),
        n_failed=len(failures),
        train=_train_errors(totals, drawn, settings),
        anatomy=task_anatomy(test_id, test_ood, gap, totals.training_parts),
        by_contact=(*by_contact("test_id", test_id), *by_contact("test_ood", test_ood)),
    )


def compare_force_mae(
    first: TaskResult,
    second: TaskResult,
    split: TestSplit = "test_ood",
    settings: IntervalSettings | None = None,
) -> Comparison:
    """Compares the force MAE of two models on the molecules of a split, paired by sampling unit.

    Results do not record which frames they contain: compare only those on one data set (equal
    `content_hash`).

    Args:
        first: Result of one model.
        second: Result of the other, on the same task.
        split: Split to compare.
        settings: Settings of the intervals; the default if `None`.

    Returns:
        Difference (first minus second, eV/Å) and ratio (first by second), with intervals.

    Raises:
        DataError: If tasks or molecules differ, or one result has failures.
    """
    if first.task != second.task:
        raise DataError(f"results of {first.task} and {second.task}; a comparison requires the same task")
    for result in (first, second):
        if result.failures:
            raise DataError(
                f"{result.n_failed} frames of {result.task} failed; a comparison requires all frames of both"
            )
    rows, others = ([row for row in result.by_molecule if row.split == split] for result in (first, second))
    if [row.molecule_id for row in rows] != [row.molecule_id for row in others]:
        raise DataError(f"the two results of {first.task} are on different {split} molecules; use the same data set")
    clusters = Clusters(split, first.clusters, tuple(row.drawn for row in rows))
    return compare_models(force_sums(rows), force_sums(others), clusters, settings)


def _subset(name: str, ood: SplitTotals) -> SplitTotals | None:
    positions = [position for position, molecule in enumerate(ood.molecules) if molecule.subset == name]
    failures = tuple(failure for failure in ood.failures if failure.molecule.subset == name)
    if not positions and not failures:
        return None
    return replace(ood.keep(np.array(positions, dtype=np.int64)), failures=failures)


def _train_errors(totals: TaskTotals, drawn: Drawn, settings: IntervalSettings) -> TrainErrors | None:
    """Errors on the predicted frames of `train`, for a model that was trained on the task."""
    train, index = totals.train, totals.train.index
    predicted, reference = train.predicted_forces, train.reference_forces
    if totals.protocol not in get_args(TrainingProtocol) or predicted is None or reference is None:
        return None
    if not index.n_frames:
        return None
    n_molecules = len(index.molecules)
    sums = sum_by_molecule(force_mae_terms(predicted, reference), index.atom_molecule_idx, n_molecules)
    clusters = clusters_of("train", [each.molecule_id for each in index.molecules], drawn)
    interval = ratio_interval(sums, clusters, "log", settings)
    n_failed = len(train.failures)
    return TrainErrors(
        n_molecules=n_molecules,
        n_frames=index.n_frames,
        force_mae=estimate_of(of_the_computed(interval, n_failed, index.n_frames), UNITS["force_mae"]),
        n_failed=n_failed,
    )


def _shift_of_molecules(shift: ReferenceShift | None, part: SplitTotals) -> Float64Array | None:
    """The reference shift of each molecule's frame, (n_molecules,), eV; `None` if training leaves one undetermined."""
    if shift is None or shift.leaves_open(part.composition).any():
        return None
    numbers = np.tile(np.arange(part.composition.shape[1]), len(part.molecules))
    return shift.apply(np.repeat(numbers, part.composition.ravel()), part.n_atoms)


def _part(name: PartName, totals: SplitTotals, shift: Float64Array | None, how: tuple[Drawn, IntervalSettings]) -> Part:
    predicted, reference, molecule_idx = totals.predicted_energy, totals.reference_energy, totals.molecule_idx
    n_atoms = totals.n_atoms
    energy_terms: dict[str, Callable[[slice], Ratio]] = {
        "raw_energy_mae": lambda some: raw_energy_terms(predicted[some], reference[some])
    }
    if shift is not None:
        energy_terms["energy_mae_per_atom"] = lambda some: energy_per_atom_terms(
            predicted[some] + shift[molecule_idx[some]], reference[some], n_atoms[molecule_idx[some]]
        )
    centred = centre_energies(predicted, reference, molecule_idx)
    energy_terms["centred_energy_mae"] = lambda some: centred_energy_terms(centred.slice(some))
    sums = {key: _summed(terms, molecule_idx, len(totals.molecules)) for key, terms in energy_terms.items()}
    drawn, settings = how
    clusters = clusters_of(name, [molecule.molecule_id for molecule in totals.molecules], drawn)
    return Part(name, totals, {**totals.forces, **sums}, centred, clusters, settings)


def _summed(terms: Callable[[slice], Ratio], molecule_idx: IntArray, n_molecules: int) -> MoleculeSums:
    """The sums of a metric over the frames; the terms of only some frames are in memory at once."""
    whole: MoleculeSums | None = None
    for start in range(0, max(len(molecule_idx), 1), _FRAMES_AT_ONCE):
        some = slice(start, start + _FRAMES_AT_ONCE)
        sums = sum_by_molecule(terms(some), molecule_idx[some], n_molecules)
        whole = sums if whole is None else whole.added(sums)
    assert whole is not None
    return whole


def _why_no_shift(part: Part, shift: ReferenceShift | None, train: TrainFrames) -> str:
    """Why a metric that needs the reference shift is undefined."""
    n_failed = len(train.failures)
    if shift is None and not n_failed:
        return "the data set holds no training frames at this level of theory, which the reference shift is fitted on"
    lost = f"{n_failed} training frames failed, and " if n_failed else ""
    if shift is None:
        return f"{lost}no other is left to fit the reference shift on"
    is_open = np.flatnonzero(shift.leaves_open(part.totals.composition))
    return (
        f"{lost}the training compositions leave the reference shift of {len(is_open)} of {len(part.molecules)} "
        f"molecules open, the first {part.molecules[is_open[0]].molecule_id}: theirs is no linear combination of them"
    )


def _energy_per_atom(part: Part, shift: ReferenceShift | None, train: TrainFrames) -> Interval:
    if "energy_mae_per_atom" not in part.sums:
        return Interval(None, reason=_why_no_shift(part, shift, train))
    interval = ratio_interval(part.sums["energy_mae_per_atom"], part.clusters, "log", part.settings)
    if train.failures and interval.value is not None:
        n_failed = len(train.failures)
        return Interval(
            interval.value,
            reason=f"no interval: {n_failed} training frames failed, which the reference shift is fitted on",
            n_clusters=interval.n_clusters,
        )
    return interval


def _split_result(part: Part, shift: ReferenceShift | None, train: TrainFrames) -> SplitResult:
    n_frames = int(part.totals.n_frames.sum())
    found = {
        name: ratio_interval(sums, part.clusters, _SCALES.get(name, "log"), part.settings)
        for name, sums in part.sums.items()
    }
    found["centred_energy_spearman"] = spearman_interval(
        part.centred, part.totals.molecule_idx, part.clusters, part.settings
    )
    found["energy_mae_per_atom"] = _energy_per_atom(part, shift, train)
    intervals = {name: of_the_computed(each, part.n_failed, n_frames) for name, each in found.items()}
    return SplitResult(
        n_molecules=len(part.molecules),
        n_frames=n_frames,
        n_atoms=int(part.totals.n_frames @ part.totals.n_atoms),
        metrics={name: estimate_of(intervals[name], unit) for name, unit in UNITS.items()},
        zero_force_mae=estimate_of(intervals["zero_force_mae"], UNITS["force_mae"]),
        n_failed=part.n_failed,
    )


def _gap(test_ood: Part, test_id: Part, metric: str) -> Estimate:
    if test_id.n_failed or test_ood.n_failed:
        return _undefined(no_gap_reason(test_id.n_failed, test_ood.n_failed), "1")
    above, below = ((part.sums[metric], part.clusters) for part in (test_ood, test_id))
    return estimate_of(quotient_interval(above, below, test_ood.settings), "1")


def _score(ood: Part, failures: tuple[FailedFrame, ...]) -> Estimate:
    if failures:
        return _undefined(f"frames that failed: {len(failures)}; a task with failures has no score", "1")
    error, scale = (ratio_effect(ood.sums[name], ood.clusters) for name in ("force_mae", "zero_force_mae"))
    if error is None or scale is None:
        return _undefined(ood.sums["force_mae"].undefined, "1")
    if scale.value <= SCORE_FLOOR:
        return _undefined(f"the reference forces are no larger than {SCORE_FLOOR} eV/Å", "1")
    return estimate_of(score_interval(error, scale, ood.settings), "1")


def _failure(frame: FailedFrame) -> Failure:
    return Failure(
        split=frame.split,
        molecule_id=frame.molecule.molecule_id,
        trajectory=frame.trajectory,
        frame=frame.frame,
        cause=frame.cause,
    )


def force_sums(rows: Sequence[MoleculeResult]) -> MoleculeSums:
    """The force errors of the molecules in a result, with the weights for a mean over them."""
    components = np.array([3.0 * row.n_atoms for row in rows])
    errors = np.array([row.force_mae for row in rows])
    return MoleculeSums(errors * components, components, "there are no molecules")


def _shift_record(shift: ReferenceShift | None) -> ReferenceShiftRecord | None:
    if shift is None:
        return None
    return ReferenceShiftRecord(
        elements=shift.elements,
        energies=tuple(float(energy) for energy in shift.energies),
        rank=shift.rank,
        n_molecules=shift.n_molecules,
        n_frames=shift.n_frames,
    )


def _undefined(reason: str, unit: str) -> Estimate:
    return estimate_of(Interval(None, reason=reason), unit)

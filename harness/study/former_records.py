"""Converts records of version 1.0: numbers are kept, and intervals are recomputed from the molecules.

The errors of each molecule in a record suffice for errors, gap and score. They do not suffice for the excess, for
shifted energies and for rank correlations with distance: these keep their number and have no interval.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import Drawn, drawn_of_task
from dataset_builders.tasks.regions import TASKS, Task, TaskName
from harness.results.result import PartName
from harness.scoring.clusters import clusters_of
from harness.scoring.influences import Effect, MoleculeSums, quotient, ratio_effect
from harness.scoring.intervals import Interval, interval_of
from harness.scoring.score_interval import score_interval
from harness.study.run_record import (
    FORMER_VERSION,
    RECORD_VERSION,
    RECORDS_NAME,
    MoleculeError,
    Number,
    RunRecord,
    write_records,
)

CARRIED: Final = "no interval: carried over from a record that does not hold what its interval needs"
_NO_SCALE: Final = "no interval: carried over, and there is no record of zero forces on the task beside it"

_ROUNDING: Final = 2e-4
"""Relative tolerance between a number and the value from its molecules, which have six digits."""

_ZERO: Final = "zero"


@dataclass(frozen=True, slots=True)
class _Beside:
    """External data for a record: its clusters, and the zero-force errors of the molecules of the same task."""

    drawn: Drawn
    zero: Mapping[str, Sequence[MoleculeError]]


def carry_over(directory: Path, row_order: Mapping[str, int], own_tasks: Iterable[Task] = ()) -> int:
    """Rewrites the records of version 1.0 in a folder in the current version.

    Args:
        directory: Folder of results.
        row_order: Place of each known row.
        own_tasks: Declarations of custom tasks.

    Returns:
        Number of converted records.

    Raises:
        DataError: If a line is not a record, its molecules contradict its numbers, or its task is not declared.
        SetupError: If the folder cannot be written to.
    """
    path = directory / RECORDS_NAME
    try:
        documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        former = [each for each in documents if each["version"] == FORMER_VERSION]
        tasks = {**TASKS, **{task.name: task for task in own_tasks}}
        zero = {each["task"]: _molecules(each) for each in documents if each["row"] == _ZERO}
        beside = {each["task"]: _Beside(_drawn(tasks, each["task"]), zero.get(each["task"], {})) for each in former}
        records = [
            _carried(each, beside[each["task"]])
            if each["version"] == FORMER_VERSION
            else RunRecord.model_validate_json(json.dumps(each))
            for each in documents
        ]
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"cannot convert the records in {path}: {cause!r}; restore the file") from cause
    if former:
        write_records(directory, records, row_order)
    return len(former)


def _drawn(tasks: Mapping[TaskName, Task], name: TaskName) -> Drawn:
    if name not in tasks:
        raise DataError(
            f"the records are of {name}; expected one of {' '.join(TASKS)}, or a custom task declared with --task-file"
        )
    return drawn_of_task(tasks[name])


def _molecules(document: Mapping[str, Any]) -> dict[str, list[MoleculeError]]:
    """Molecules of a record by split, still without their clusters."""
    return {
        split: [MoleculeError._make([*row[:8], (), None]) for row in rows]
        for split, rows in document["molecules"].items()
    }


def _carried(document: dict[str, Any], beside: _Beside) -> RunRecord:
    molecules = {
        split: [each._replace(drawn=beside.drawn.of(each.molecule_id)) for each in rows]
        for split, rows in _molecules(document).items()
    }
    parts: dict[PartName, list[MoleculeError]] = {
        name: [each for each in molecules["test_id" if name == "test_id" else "test_ood"] if _is_in(each, name)]
        for name in document["force_mae"]
    }
    forces = {name: _force_mae(name, rows, beside.drawn) for name, rows in parts.items()}
    energies = {name: _energy_mae(name, rows, beside.drawn) for name, rows in parts.items()}
    gap = quotient(forces["test_ood"], forces["test_id"])
    changed = {
        "version": RECORD_VERSION,
        "clusters": beside.drawn.kind,
        "force_mae": {name: _number(document["force_mae"][name], effect) for name, effect in forces.items()},
        "relative_energy_mae": {
            name: _number(document["relative_energy_mae"][name], effect) for name, effect in energies.items()
        },
        "gap": _number(document["gap"], gap),
        "score": _score(document["score"], forces["test_ood"], beside),
        "excess": _value_alone(document["excess"]),
        "energies": _values_alone(document["energies"]),
        "distances": {**document["distances"], **_correlations_alone(document["distances"])},
        "molecules": molecules,
    }
    return RunRecord.model_validate_json(json.dumps({**document, **changed}))


def _is_in(molecule: MoleculeError, part: PartName) -> bool:
    return part in ("test_id", "test_ood", molecule.subset)


def _force_mae(part: PartName, rows: Sequence[MoleculeError], drawn: Drawn) -> Effect:
    weights = np.array([row.n_atoms for row in rows], dtype=np.float64)
    errors = np.array([row.force_mae for row in rows])
    return _effect(part, rows, MoleculeSums(errors * weights, weights, ""), drawn)


def _energy_mae(part: PartName, rows: Sequence[MoleculeError], drawn: Drawn) -> Effect:
    weights = np.array([0.0 if row.relative_energy_mae is None else row.n_frames for row in rows])
    errors = np.array([row.relative_energy_mae or 0.0 for row in rows])
    return _effect(part, rows, MoleculeSums(errors * weights, weights, ""), drawn)


def _effect(part: PartName, rows: Sequence[MoleculeError], sums: MoleculeSums, drawn: Drawn) -> Effect:
    found = ratio_effect(sums, clusters_of(part, [row.molecule_id for row in rows], drawn))
    if found is None:
        raise DataError(f"a record has no molecules in {part}; expected one or more")
    return found


def _number(recorded: Mapping[str, Any], effect: Effect | None) -> dict[str, Any]:
    """The recorded number with the interval from its molecules."""
    value = recorded.get("value")
    if value is None or effect is None:
        return dict(recorded)
    if not math.isclose(value, effect.value, rel_tol=_ROUNDING, abs_tol=1e-12):
        raise DataError(
            f"a record states {value}, but its molecules give {effect.value}; expected equal values. Delete that line"
        )
    return {**_document(interval_of(effect)), "value": value}


def _score(recorded: Mapping[str, Any], error: Effect, beside: _Beside) -> dict[str, Any]:
    rows = beside.zero.get("test_ood")
    if recorded.get("value") is None:
        return dict(recorded)
    if rows is None:
        return {"value": recorded["value"], "reason": _NO_SCALE}
    scale = _force_mae("test_ood", rows, beside.drawn)
    return {**_document(score_interval(error, scale)), "value": recorded["value"]}


def _document(interval: Interval) -> dict[str, Any]:
    return Number.of(interval).model_dump(exclude_defaults=True)


def _value_alone(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The number without its former interval."""
    return {"value": recorded["value"], "reason": CARRIED} if recorded.get("value") is not None else dict(recorded)


def _values_alone(energies: Mapping[str, Any]) -> dict[str, Any]:
    return {
        split: {name: {kind: _value_alone(each) for kind, each in error.items()} for name, error in by_shift.items()}
        for split, by_shift in energies.items()
    }


def _correlations_alone(distances: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {which: _value_alone(each) for which, each in distances[name].items()}
        for name in ("rank_correlation", "within_elements")
    }

"""What a reader of a model's numbers needs to know: levels of theory, training, failures, forces."""

from collections.abc import Mapping
from typing import Final

from harness.report.level_cautions import level_cautions, overlap_lines
from harness.report.signs import FAILED, UNDEFINED
from harness.results.result import PartName, RunResult

_SPLITS: Final[Mapping[PartName, str]] = {"test_id": "ID", "test_ood": "OOD"}


def cautions(result: RunResult) -> list[str]:
    """What a reader of this model's numbers needs to know."""
    model = result.model
    lines = [*level_cautions(result), *overlap_lines(model)]
    if model.question:
        lines.append(f"question: {model.question}")
    failed = sum(task.n_failed for task in result.tasks.values())
    if failed:
        lines.append(
            f"caution: {failed} structures failed and are not in the averages; a task with failures has no score"
        )
        lines.extend(_failures_by_split(result))
    lines.extend(_open_shifts(result))
    if model.unfinished:
        lines.append(
            f"caution: the training of {model.id} was stopped early ({model.unfinished}); its numbers are not those of "
            "a finished model"
        )
    if model.conservative is False:
        lines.append(f"caution: the forces of {model.id} are not the derivative of its energy")
    lines.extend(f"caution: {each}" for each in model.cautions)
    return lines


def _failures_by_split(result: RunResult) -> list[str]:
    """For each marked number, how many of the frames are left out, and which numbers have no frame."""
    lines = []
    for name, task in result.tasks.items():
        for split, title in _SPLITS.items():
            n_failed, n_frames = task.n_failed_in(split), task.splits[split].n_frames
            place = f"{name} {title} of {result.model.id}"
            if n_failed and not n_frames:
                lines.append(f"{UNDEFINED} {place}: all {n_failed} frames failed")
            elif n_failed:
                lines.append(
                    f"{FAILED} {place}: {n_failed} of {n_failed + n_frames} frames failed; the number covers the "
                    "others only and has no interval, gap or rank"
                )
    return lines


def _open_shifts(result: RunResult) -> list[str]:
    """Why a task with training frames has no energy per atom: they do not fix the zero of energy of a molecule."""
    found = [
        (name, task.splits["test_ood"].metrics["energy_mae_per_atom"])
        for name, task in result.tasks.items()
        if task.reference_shift is not None
    ]
    return [
        f"caution: the energy per atom on {name} is undefined for {result.model.id}: {each.reason}"
        for name, each in found
        if each.value is None
    ]

"""What the levels of theory of model and labels, and a known overlap with the training set, mean for the numbers."""

from collections.abc import Mapping
from typing import Final

from dataset_builders.chemistry.levels import level_of_method
from dataset_builders.core.units import MILLI
from harness.results.result import UNKNOWN_OVERLAP, FloorRecord, ModelRecord, OverlapRecord, RunResult

NEAR_FLOOR: Final = 1.5
"""Errors below this multiple of the floor are said to be near it."""

_MOST_NAMED: Final = 8
_KINDS: Final[Mapping[str, str]] = {"test_id": "ID", "test_ood": "OOD"}


def evidence_for_level(model: ModelRecord) -> str:
    """How the level of theory of a model is known, in the words that follow it; empty if the model names it itself."""
    if model.level_is_stated:
        return " as stated"
    if model.known_as is None:
        return ""
    how = "by the sha256 of its file" if model.known_by == "sha256" else "by name alone"
    return f" (known checkpoint {model.known_as}, {how})"


def short_evidence_for_level(model: ModelRecord) -> str:
    """As `evidence_for_level`, without the name of the known checkpoint."""
    if model.level_is_stated or model.known_as is None:
        return evidence_for_level(model)
    return " (known by its sha256)" if model.known_by == "sha256" else " (known by name alone)"


def level_cautions(result: RunResult) -> list[str]:
    """What a difference between the levels of model and labels means."""
    model, labels = result.model, result.dataset.level_of_theory
    if model.protocol == "control":
        return []  # a control has another level than the labels on purpose
    if model.level_of_theory is None:
        return [
            f"caution: the level of theory of {model.id} is unknown; if it is not {labels}, every error includes the "
            "difference between the levels, which hides the gap. If you know it, state it with --level-of-theory"
        ]
    if model.level_of_theory == labels:
        return []
    if result.floor is not None:
        return _at_a_floor(result, result.floor)
    own = level_of_method(model.level_of_theory)
    remedy = f". If the data set has such labels, select them with --labels {own.name}" if own else ""
    return [
        f"caution: the level of theory of {model.id} is {model.level_of_theory}, that of the labels {labels}: every "
        f"error includes the difference between the levels, which was not measured and hides the gap{remedy}"
    ]


def overlap_lines(model: ModelRecord) -> list[str]:
    """What is known of test molecules among the training molecules of a model."""
    if model.overlap is None:
        return []
    if not isinstance(model.overlap, OverlapRecord):
        assert model.overlap == UNKNOWN_OVERLAP
        return [
            f"overlap: unknown whether {model.id} was trained on test molecules; --training-smiles FILE, a list of "
            "its training molecules, tells"
        ]
    found = model.overlap
    lines = [
        f"caution: {len(names)} {_KINDS[split]} molecules of {task} are among the training molecules of {model.id}: "
        f"{_listed(names)}" + ("; to it they are not unseen" if split == "test_ood" else "")
        for task, splits in found.molecules.items()
        for split, names in splits.items()
        if names
    ]
    unread = f", {found.n_unreadable} lines of it unreadable" if found.n_unreadable else ""
    source = f"{found.source} of {found.n_listed:,} molecules{unread}"
    return [*lines, f"overlap: by the list {source}" + ("" if lines else f": {model.id} saw no test molecule")]


def _at_a_floor(result: RunResult, floor: FloorRecord) -> list[str]:
    model = result.model
    stand_in = "".join(f"; {computed} was computed for {level}" for level, computed in floor.computed.items())
    floors = {"test_id": floor.test_id, "test_ood": floor.test_ood}
    near = [
        f"{name} {_KINDS[split]}"
        for name, task in result.tasks.items()
        for split, part in task.splits.items()
        if split in floors and _is_near(part.metrics["force_mae"].value, floors[split])
    ]
    said = f". Near it: {', '.join(near)}" if near else ""
    return [
        f"caution: {model.id} describes {model.level_of_theory}, the labels {result.dataset.level_of_theory}. Floor: "
        f"the forces of the two differ by {floor.test_id / MILLI:.1f} meV/Å on ID and {floor.test_ood / MILLI:.1f} on "
        f"OOD ({floor.n_frames_id} and {floor.n_frames_ood} frames{stand_in}). An error near the floor says nothing of "
        f"the model, nor does its gap{said}"
    ]


def _is_near(error: float | None, floor: float) -> bool:
    return error is not None and error < NEAR_FLOOR * floor


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

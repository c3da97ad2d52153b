"""The answer in words: what was asked, how large the gap is, and whether it is more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dataset_builders.tasks.regions import TaskName
from harness.pages.report.number_text import Cell, decimal, ends_text, error_cell, headline_ratio, ratio_cell
from harness.pages.report.verdict import Verdict, beyond_control, chance, reason_of
from harness.pages.report.view import TaskView
from harness.results.estimate import Estimate

_UNSEEN: Final[Mapping[TaskName, str]] = MappingProxyType(
    {
        "task1": "longer chains than training shows",
        "task2": "molecules with a known fragment at both ends",
        "task3": "unseen combinations of known fragments",
        "task4": "known fragments on longer chains than training shows",
    }
)
"""What is new about the OOD molecules of the four tasks."""

_UNSEEN_ELSEWHERE: Final = "unseen combinations of known parts"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one model on one task.

    Attributes:
        task: Name of the task.
        title: Its title.
        model: Name of the model.
        sentence: The gap in one sentence.
        known: ID error.
        ood: OOD error.
        gap: The gap.
        control: Gap of GFN1-xTB.
        control_value: The same without its interval.
        chance: Whether the gap is more than chance.
        beyond: Whether it exceeds that of GFN1-xTB.
        score: The score.
    """

    task: str
    title: str
    model: str
    sentence: str
    known: Cell
    ood: Cell
    gap: Cell
    control: Cell
    control_value: Cell
    chance: Verdict
    beyond: Verdict
    score: Cell


def question(views: Sequence[TaskView]) -> str:
    """What was asked."""
    names = list(dict.fromkeys(view.name for view in views))
    who = names[0] if len(names) == 1 else f"{len(names)} models"
    kinds = list(dict.fromkeys(unseen(view) for view in views))
    what = kinds[0] if len(kinds) == 1 else _UNSEEN_ELSEWHERE
    trained = [view.is_trained for view in views]
    known = "training molecules" if all(trained) else "the training molecules of the task"
    return f"Are the forces of {who} as good on {what} as on new conformers of {known}?"


def unseen(view: TaskView) -> str:
    """What is new about the OOD molecules."""
    return _UNSEEN.get(view.task.task, _UNSEEN_ELSEWHERE)


def answer(view: TaskView) -> Answer:
    """The answer for one model on one task."""
    splits = view.task.splits
    gap = view.task.comparable_gap
    control = view.control.comparable_gap if view.control is not None else None
    beside = Cell("not known") if control is None else ratio_cell(control)
    return Answer(
        task=view.task.task,
        title=view.title,
        model=view.name,
        sentence=sentence(view),
        known=error_cell(splits["test_id"].metrics["force_mae"]),
        ood=error_cell(splits["test_ood"].metrics["force_mae"]),
        gap=ratio_cell(gap),
        control=beside,
        control_value=Cell(beside.text.partition(" ")[0], beside.value, beside.text) if beside.value else beside,
        chance=chance(gap),
        beyond=beyond_control(view),
        score=_score(view.task.score),
    )


def sentence(view: TaskView) -> str:
    """The gap in one sentence, with that of GFN1-xTB."""
    gap = view.task.comparable_gap
    if gap.value is None:
        return f"{view.name} has no gap on {unseen(view)}: {reason_of(gap)}."
    said = f"{view.name} makes {headline_ratio(gap.value)} times the force error on {unseen(view)}"
    if view.is_control:
        return f"{said}, as a physics method without a training set."
    if view.control is None or view.control.gap.value is None:
        return f"{said}."
    return f"{said} (physics method GFN1-xTB: {headline_ratio(view.control.gap.value)})."


def headline(views: Sequence[TaskView]) -> str:
    """The answer in one sentence, for all models and tasks."""
    if len(views) == 1:
        return sentence(views[0])
    trained = [view for view in views if view.run.result.model.protocol != "control"] or views
    known = [(gap, view) for view in trained if (gap := view.task.comparable_gap.value) is not None]
    if not known:
        return f"None of {len(views)} results has a gap: {reason_of(trained[0].task.comparable_gap)}."
    (low, least), (high, most) = (choose(known, key=lambda each: each[0]) for choose in (min, max))
    if len(known) == 1:
        return sentence(known[0][1])
    several = len({view.name for _, view in known}) > 1
    least_of, most_of = (_place(view, several=several) for view in (least, most))
    return (
        f"Errors on unseen combinations are {headline_ratio(low)} ({least_of}) to {headline_ratio(high)} times "
        f"({most_of}) those on known molecules{_controls(views)}."
    )


def _place(view: TaskView, *, several: bool) -> str:
    return f"{view.name}, {view.title}" if several else view.title


def _controls(views: Sequence[TaskView]) -> str:
    gaps = sorted({view.control.gap.value for view in views if view.control is not None and view.control.gap.value})
    if not gaps:
        return ""
    low, high = headline_ratio(gaps[0]), headline_ratio(gaps[-1])
    return f" (physics method GFN1-xTB: {low if low == high else f'{low} to {high}'})"


def _score(estimate: Estimate) -> Cell:
    cell = ratio_cell(estimate)
    if estimate.value is None:
        return cell
    ends = ends_text(estimate, digits=1)
    text = decimal(estimate.value, 1)
    return Cell(f"{text} ({ends})" if ends else text, estimate.value, estimate.reason)

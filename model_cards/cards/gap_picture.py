"""The picture of a gap on a card: ID and OOD error of the model on each task, beside GFN1-xTB."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Final

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order
from harness.report.error_pairs import ErrorPair, draw_pairs, pair_keys
from harness.report.panels import SMALL, WithEnds, empty_figure, png_of
from harness.results.result import RunResult, TaskResult
from model_cards.cards.result_tables import task_text

MODEL: Final = "this model"
CONTROL_LABEL: Final = "GFN1-xTB"

PICTURE_MARK: Final = "mlip-ood gap "
"""Begins the description in every picture of this kind."""

_DRAWING: Final = 1
"""Version of the drawing; a change draws all pictures again."""
_TITLE_WIDTH: Final = 44
MOST_PANELS: Final = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One task in the picture.

    Attributes:
        title: Its name and title.
        pairs: The model, then GFN1-xTB where it is known.
    """

    title: str
    pairs: tuple[ErrorPair, ...]


def panels_of(result: RunResult, controls: Mapping[TaskName, TaskResult]) -> tuple[Panel, ...]:
    """The panels of an evaluation; none for tasks with failures, or with errors of zero.

    Args:
        result: Evaluation of the model.
        controls: Results of GFN1-xTB on the same data, by task, where they are known.
    """
    panels = []
    for name in in_order(result.tasks):
        title = task_text(result.dataset.config(name), result.tasks[name].title)
        own = pair_of(MODEL, result.tasks[name])
        control = pair_of(CONTROL_LABEL, controls[name], is_control=True) if name in controls else None
        pairs = [pair for pair in (own, control) if pair is not None]
        if own is not None:
            panels.append(Panel(title, tuple(pairs)))
    return tuple(panels[:MOST_PANELS])


@functools.lru_cache(maxsize=16)
def gap_picture(panels: tuple[Panel, ...]) -> bytes:
    """The picture as PNG, which holds `mark_of` of its panels; cached, since a push looks at it several times."""
    heights = [0.95 + 0.36 * len(panel.pairs) for panel in panels]
    figure = empty_figure(6.6, sum(heights) + 0.45)
    all_axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights).flat
    for axes, panel in zip(all_axes, panels, strict=True):
        draw_pairs(axes, fill(panel.title, _TITLE_WIDTH), panel.pairs)
    with_explained = any(pair.explained is not None for panel in panels for pair in panel.pairs)
    figure.legend(
        handles=pair_keys(with_explained=with_explained),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=SMALL,
    )
    return png_of(figure, mark_of(panels))


def mark_of(panels: Iterable[Panel]) -> str:
    """Identifies what a picture shows, so that another version of Matplotlib need not replace it."""
    shown = [
        [
            panel.title,
            [[pair.label, *map(_numbers, (pair.known, pair.unseen, pair.gap)), pair.explained] for pair in panel.pairs],
        ]
        for panel in panels
    ]
    return f"{PICTURE_MARK}{hashlib.sha256(json.dumps([_DRAWING, shown]).encode()).hexdigest()}"


def gap_text(panels: Iterable[Panel]) -> str:
    """The picture in words, for readers who cannot see it."""
    parts = [f"{panel.title}, {pair.label}: {pair_text(pair)}" for panel in panels for pair in panel.pairs]
    return f"Force errors with 95 % intervals. {'; '.join(parts)}"


def pair_text(pair: ErrorPair) -> str:
    """The numbers of a pair in words."""
    known, unseen = (number_text(number, MILLI, 1) for number in (pair.known, pair.unseen))
    return f"ID {known}, OOD {unseen} meV/Å, gap {number_text(pair.gap, 1.0, 2)}"


def number_text(number: WithEnds, unit: float, digits: int) -> str:
    """A number in multiples of a unit, with its interval where there is one."""
    if number.value is None:
        return "–"
    value = f"{number.value / unit:.{digits}f}"
    if number.low is None or number.high is None:
        return value
    return f"{value} ({number.low / unit:.{digits}f}–{number.high / unit:.{digits}f})"


def _numbers(number: WithEnds) -> list[float | None]:
    return [number.value, number.low, number.high]


def pair_of(label: str, task: TaskResult, *, is_control: bool = False) -> ErrorPair | None:
    """The errors of a task of a result; `None` if structures failed, or an error is zero."""
    if task.n_failed or not {"test_id", "test_ood"} <= task.splits.keys():
        return None
    composition = None if task.anatomy is None else task.anatomy.factors.get("composition")
    pair = ErrorPair(
        label=label,
        known=task.splits["test_id"].metrics["force_mae"],
        unseen=task.splits["test_ood"].metrics["force_mae"],
        gap=task.comparable_gap,
        explained=None if composition is None else composition.value,
        is_control=is_control,
    )
    return pair if pair.can_be_drawn else None

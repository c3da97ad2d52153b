"""Boards: the entries of one edition at one level of labels, ranked. Two boards are never mixed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.tasks.editions import edition_order
from dataset_builders.tasks.regions import TaskName, in_order
from harness.report.control_gaps import CONTROL, INSTALLED
from harness.results.result import RunResult
from model_cards.leaderboard.site.from_results import entry_of_result
from model_cards.leaderboard.site.site_entry import DataOf, Entry, EntryKind, Origin

OVERALL: Final = "overall"
_KINDS: Final[tuple[EntryKind, ...]] = ("model", "community", "control")
_RANKED: Final[tuple[EntryKind, ...]] = ("model", "community")
_SHIPPED: Final = "a control that is installed with the harness"


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry on its board.

    Attributes:
        key: Its name, with a number if the board has several entries of that name; its address on the page.
        entry: The entry.
        ranks: Its rank overall and by task, from 1; none for controls. Open pull requests are ranked apart.
    """

    key: str
    entry: Entry
    ranks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Board:
    """The entries on the same data.

    Attributes:
        data: The data.
        title: Edition and labels; with the content of the data where another board has the same two.
        tasks: All tasks of its entries, in order.
        placed: Models by overall score, then open pull requests, then controls.
        control_gaps: Gap of GFN1-xTB by task, where it is known.
    """

    data: DataOf
    title: str
    tasks: tuple[TaskName, ...]
    placed: tuple[Placed, ...]
    control_gaps: Mapping[TaskName, float]


def boards_of(entries: Iterable[Entry]) -> tuple[Board, ...]:
    """Groups entries by their data and ranks them: the edition that ranks best first, GFN2-xTB labels before others.

    The controls that are installed with the harness are added to the boards on their data that lack them.

    Args:
        entries: From any sources.
    """
    groups: dict[DataOf, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.data, []).append(entry)
    for control in _shipped_controls():
        group = groups.get(control.data, [])
        if group and not any(each.kind == "control" and each.name == control.name for each in group):
            group.append(control)
    titles = [f"{data.edition}, {data.labels} labels" for data in groups]
    boards = [
        _board(data, title if titles.count(title) == 1 else f"{title}, data {data.content}", group)
        for (data, group), title in zip(groups.items(), titles, strict=True)
    ]
    # By edition, best first; the sort is stable, so within an edition by level and title.
    boards.sort(key=lambda board: (_level_order(board.data.labels), board.title))
    boards.sort(key=lambda board: edition_order(board.data.edition), reverse=True)
    return tuple(boards)


def _level_order(labels: str) -> int:
    methods = [level.method for level in LEVELS.values()]
    return methods.index(labels) if labels in methods else len(methods)


def _shipped_controls() -> list[Entry]:
    paths = sorted(INSTALLED.glob("*.json"))
    return [entry_of_result(RunResult.load(path), Origin("results", _SHIPPED)) for path in paths]


def _board(data: DataOf, title: str, entries: Sequence[Entry]) -> Board:
    tasks = in_order(task for entry in entries for task in entry.tasks)
    ordered = sorted(entries, key=_overall_merit)
    ranks: list[dict[str, int]] = [{} for _ in ordered]
    for kind in _RANKED:
        of_kind = [place for place, entry in enumerate(ordered) if entry.kind == kind]
        with_mean = [place for place in of_kind if ordered[place].overall is not None]
        for rank, place in enumerate(with_mean, start=1):
            ranks[place][OVERALL] = rank
        for task in tasks:
            scored = sorted((merit, place) for place in of_kind if (merit := _task_merit(ordered[place], task)))
            for rank, (_, place) in enumerate(scored, start=1):
                ranks[place][task] = rank
    keys = _keys(ordered)
    placed = tuple(Placed(*each) for each in zip(keys, ordered, ranks, strict=True))
    return Board(data, title, tasks, placed, _control_gaps(ordered))


def _overall_merit(entry: Entry) -> tuple[int, float, str, str]:
    mean = None if entry.overall is None else entry.overall.value
    return _KINDS.index(entry.kind), math.inf if mean is None else -mean, entry.name, entry.origin.text


def _task_merit(entry: Entry, task: TaskName) -> tuple[float, float, str] | None:
    """Sort key, best first, as in the terminal: by score, and equal scores by the OOD error."""
    numbers = entry.tasks[task].numbers if task in entry.tasks else {}
    score = numbers["score"].value if "score" in numbers else None
    if score is None:
        return None
    error = numbers["ood_force_mae"].value if "ood_force_mae" in numbers else None
    return -score, math.inf if error is None else error, entry.name


def _keys(entries: Sequence[Entry]) -> list[str]:
    seen: dict[str, int] = {}
    keys = []
    for entry in entries:
        seen[entry.name] = seen.get(entry.name, 0) + 1
        keys.append(entry.name if seen[entry.name] == 1 else f"{entry.name} #{seen[entry.name]}")
    return keys


def _control_gaps(entries: Sequence[Entry]) -> dict[TaskName, float]:
    gaps: dict[TaskName, float] = {}
    for entry in entries:
        if entry.kind == "control" and entry.name == CONTROL:
            for name, task in entry.tasks.items():
                gap = task.numbers["gap"].value if "gap" in task.numbers else None
                if gap is not None:
                    gaps.setdefault(name, gap)
    return gaps

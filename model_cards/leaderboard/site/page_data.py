"""What the scripts of the leaderboard page read: boards, entries and numbers, in the units that the page shows.

Numbers have six significant digits, as the records of the study; energies are in meV and forces in meV/Å. `v` is the
value, `l` and `h` the ends of the 95 % interval, `s` the standard deviation between seeds, and `why` the reason why
something is missing; what is missing has no key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import title_of
from model_cards.leaderboard.site.boards import Board, Placed
from model_cards.leaderboard.site.site_entry import Number, NumberName, TaskNumbers

_DIGITS: Final = 6
_DIMENSIONLESS: Final[frozenset[NumberName]] = frozenset({"score", "gap", "expected_gap"})


def page_data(boards: Sequence[Board], opens_with: int = 0) -> dict[str, Any]:
    """Everything on the page that changes with the choice of its reader.

    Args:
        boards: The boards.
        opens_with: Place of the board that is shown first.
    """
    return {
        "opensWith": opens_with,
        "boards": [_board(board) for board in boards],
    }


def number_data(number: Number, unit: float = 1.0) -> dict[str, Any]:
    """A number in multiples of a unit."""
    found = {
        "v": _rounded(number.value, unit),
        "l": _rounded(number.low, unit),
        "h": _rounded(number.high, unit),
        "s": _rounded(number.deviation, unit),
        "why": number.reason,
    }
    return {key: each for key, each in found.items() if each is not None}


def _board(board: Board) -> dict[str, Any]:
    declared = {name: task.title for placed in board.placed for name, task in placed.entry.tasks.items() if task.title}
    return {
        "title": board.title,
        "edition": board.data.edition,
        "labels": board.data.labels,
        "content": board.data.content,
        "note": edition_note(board.data.edition) or "",
        "tasks": [{"name": name, "title": title_of(name, declared.get(name))} for name in board.tasks],
        "control": {task: _rounded(gap, 1.0) for task, gap in board.control_gaps.items()},
        "entries": [_entry(placed) for placed in board.placed],
    }


def _entry(placed: Placed) -> dict[str, Any]:
    entry, speed = placed.entry, placed.entry.speed
    found = {
        "key": placed.key,
        "kind": entry.kind,
        "ranks": dict(placed.ranks),
        "overall": None if entry.overall is None else number_data(entry.overall),
        "protocol": entry.protocol,
        "evidence": entry.evidence,
        "proof": entry.proof,
        "family": entry.family,
        "level": entry.level_of_theory,
        "dtype": entry.dtype,
        "seeds": _seeds(entry.tasks),
        "speed": _rounded(speed.rate, 1.0),
        "cost": [text for text in (speed.text, speed.hardware, speed.memory, speed.rounding) if text],
        "origin": entry.origin.kind,
        "source": entry.origin.text,
        "address": entry.origin.address,
        "tasks": {name: _task(task) for name, task in entry.tasks.items()},
        "facts": [list(fact) for fact in entry.facts],
        "commands": list(entry.commands),
        "cautions": list(entry.cautions),
    }
    return {key: each for key, each in found.items() if each not in (None, "", [])}


def _task(task: TaskNumbers) -> dict[str, Any]:
    numbers = {
        name: number_data(number, 1.0 if name in _DIMENSIONLESS else MILLI) for name, number in task.numbers.items()
    }
    anatomy = {name: number_data(number) for name, number in task.anatomy.items()}
    found = {"nSeeds": task.n_seeds, "seeds": task.seeds, "failed": task.n_failed, "anatomy": anatomy}
    return {"numbers": numbers, **{key: each for key, each in found.items() if each}}


def _seeds(tasks: Mapping[str, TaskNumbers]) -> str:
    """The number of seeds of each task, or the smallest and the largest; empty for a single model."""
    counts = sorted(task.n_seeds for task in tasks.values())
    if not counts or not counts[0]:
        return ""
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]}–{counts[-1]}"


def _rounded(number: float | None, unit: float) -> float | None:
    return None if number is None else float(f"{number / unit:.{_DIGITS}g}")

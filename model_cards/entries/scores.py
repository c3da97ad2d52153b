"""Entries as they are published: scores, since the Hub ranks higher values first and knows no other direction.

The errors and the gap of a configuration stand in the notes of its score, each with its interval. So the numbers of one
evaluation are in one entry, and rankings and cards read them back from there. The mean score of the four tasks is an
entry of its own, computed from theirs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.card.numbers import (
    NUMBERS,
    OVERALL_ID,
    SCORE,
    LeaderboardNumber,
    number_id,
    parse_number_id,
)
from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TASKS
from model_cards.entries.entry_check import require_possible
from model_cards.entries.notes import CLUSTERS, EDITION, OF_ONE_NUMBER, format_notes, parse_notes

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

DIGITS: Final = 2
"""Decimal places of every published number and of its interval, in its published unit."""

_OF_ONE_NUMBER: Final = OF_ONE_NUMBER - {"confidence"}
_NUMBER: Final = r"-?\d{1,12}(?:\.\d{1,12})?"
_CARRIED: Final = re.compile(
    rf"(?P<value>{_NUMBER})(?: ± (?P<spread>{_NUMBER}))?"
    rf"(?: \((?P<interval>{_NUMBER} to {_NUMBER})(?:, (?P<clusters>[^()]+))?\))?",
    re.ASCII,
)
_OF_ONE_MEAN: Final = ("protocol", "training", EDITION, "content", "labels", "harness")
"""Notes of the overall score: those that its four scores share."""
_ALIKE: Final = ("protocol", EDITION, "content", "labels")
"""Notes that must agree between scores with a common mean."""


def published_value(value: float, number: LeaderboardNumber) -> float:
    """A number as published: in its published unit, rounded to `DIGITS` decimal places."""
    return round(value / (MILLI if number.unit else 1.0), DIGITS)


def packed(entries: Sequence["EvalResultEntry"]) -> list["EvalResultEntry"]:
    """Puts the other numbers of each configuration into the notes of its score.

    Args:
        entries: Entries of one or more evaluations. Those of a configuration without a score stay as they are.

    Returns:
        One entry for each score, in their order.
    """
    scores = {_place(entry): entry for entry in entries if _number(entry) == SCORE}
    others: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries:
        number = _number(entry)
        if number is not None and number != SCORE and _place(entry) in scores:
            others.setdefault(_place(entry), {})[number.name] = _text(entry)
    left = [entry for entry in entries if _place(entry) not in scores]
    return [
        replace(entry, notes=format_notes(_all_notes(entry, entries) | others.get(place, {})))
        for place, entry in scores.items()
    ] + left


def unpacked(entry: "EvalResultEntry") -> tuple[list["EvalResultEntry"], list[str]]:
    """The score of an entry and the numbers in its notes, each as an entry, and faults, one line each."""
    place = parse_number_id(entry.task_id)
    if place is None or place[1] != SCORE:
        return [entry], []
    notes = parse_notes(entry.notes)
    carried = {number: notes.pop(number.name) for number in NUMBERS if number != SCORE and number.name in notes}
    if not carried:
        return [entry], []
    own = {key: value for key, value in notes.items() if key != "confidence" or "interval" in notes}
    found, faults = [replace(entry, notes=format_notes(own))], []
    for number, text in carried.items():
        try:
            value, of_number = _parsed(text, number)
        except DataError as cause:
            faults.append(f"its note {number.name}: {cause}")
            continue
        shared = {key: each for key, each in notes.items() if key not in _OF_ONE_NUMBER}
        if "interval" not in of_number:
            shared.pop("confidence", None)
        said = format_notes(shared | of_number)
        found.append(replace(entry, task_id=number_id(place[0], number), value=value, notes=said, verify_token=None))
    return found, faults


def overall_entry(entries: Iterable["EvalResultEntry"]) -> "EvalResultEntry | None":
    """The mean of the scores of the four tasks.

    Args:
        entries: Entries on one data set.

    Returns:
        `None` if a task has no score, or the scores differ in protocol, edition, data or labels.
    """
    by_config = {_place(entry)[1]: entry for entry in entries if _number(entry) == SCORE}
    if not set(TASKS) <= by_config.keys():
        return None
    of_four = [by_config[task] for task in TASKS]
    said = [parse_notes(entry.notes) for entry in of_four]
    if any(len({notes.get(key) for notes in said}) > 1 for key in _ALIKE):
        return None
    newest = max(of_four, key=lambda entry: str(entry.date))
    shared = {key: said[0][key] for key in _OF_ONE_MEAN if {notes.get(key) for notes in said} == {said[0].get(key, "")}}
    value = round(sum(float(entry.value) for entry in of_four) / len(of_four), DIGITS)
    notes = format_notes(shared | {"mean of": " ".join(TASKS)})
    return replace(newest, task_id=OVERALL_ID, value=value, notes=notes, verify_token=None)


def wrong_mean(value: Any, entries: Iterable["EvalResultEntry"]) -> str | None:
    """What is wrong with an overall score, which nothing here uses but a leaderboard of the Hub ranks by.

    Args:
        value: Its value, from an untrusted file.
        entries: The entries of the file on its data set.

    Returns:
        `None` if it is the mean of the scores of the four tasks within rounding.
    """
    mean = overall_entry(entries)
    is_score = isinstance(value, int | float) and 0 <= value <= 100
    if mean is not None and is_score and abs(value - mean.value) <= 1.01 * 10.0**-DIGITS:
        return None
    expected = (
        "the four tasks have no mean in this file" if mean is None else f"the mean of its four tasks is {mean.value}"
    )
    return f"value is {shown(value)}, and {expected}; it is not used"


def _all_notes(score: "EvalResultEntry", entries: Sequence["EvalResultEntry"]) -> dict[str, str]:
    """The notes of a score, with the confidence of any interval of its configuration."""
    known = (parse_notes(entry.notes).get("confidence") for entry in entries if _place(entry) == _place(score))
    confidence = next(filter(None, known), None)
    return parse_notes(score.notes) | ({} if confidence is None else {"confidence": confidence})


def _text(entry: "EvalResultEntry") -> str:
    """A number with its spread and interval, such as `30.42 ± 0.50 (22.70 to 40.70, 8 fragments)`."""
    notes = parse_notes(entry.notes)
    spread = f" ± {notes['standard deviation']}" if "standard deviation" in notes else ""
    clusters = f", {notes[CLUSTERS]}" if CLUSTERS in notes else ""
    interval = f" ({notes['interval']}{clusters})" if "interval" in notes else ""
    return f"{float(entry.value):.{DIGITS}f}{spread}{interval}"


def _parsed(text: str, number: LeaderboardNumber) -> tuple[float, dict[str, str]]:
    found = _CARRIED.fullmatch(text)
    if found is None:
        raise DataError(f"{shown(text)} is no number with its interval; expected one such as 30.42 (22.70 to 40.70)")
    value = float(found["value"])
    require_possible(value, number)
    notes = {
        "unit": number.unit,
        "interval": found["interval"],
        "standard deviation": found["spread"],
        CLUSTERS: found["clusters"],
    }
    return value, {key: each for key, each in notes.items() if each}


def _place(entry: "EvalResultEntry") -> tuple[str, str]:
    """Data set and configuration of an entry."""
    found = parse_number_id(entry.task_id)
    return entry.dataset_id, entry.task_id if found is None else found[0]


def _number(entry: "EvalResultEntry") -> LeaderboardNumber | None:
    found = parse_number_id(entry.task_id)
    return None if found is None else found[1]

"""Entries from the results that model repos on the Hub publish, as the terminal leaderboard ranks them."""

from collections.abc import Mapping, Sequence
from typing import Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.units import MILLI
from dataset_builders.folder.configs import task_of_config
from model_cards.cards.section import repeating_command
from model_cards.entries.notes import OF_ONE_NUMBER, ROUNDING
from model_cards.leaderboard.published import Published, seeds_of, speed_of
from model_cards.leaderboard.ranking import Leaderboard, read_every_leaderboard
from model_cards.leaderboard.site.site_entry import (
    Entry,
    EntryKind,
    Gathered,
    LeftOut,
    Number,
    NumberName,
    Origin,
    Speed,
    TaskNumbers,
    data_of,
    gathered,
    https_address,
    mean_of_four,
    one_line,
)

_NO_INTERVAL: Final = "no interval: none is published with the number, or it does not hold the number"
_NOT_PUBLISHED: Final = "not published"
_LONGEST_KEY: Final = 60
_NUMBERS: Final[Mapping[str, tuple[NumberName, float]]] = {
    "score": ("score", 1.0),
    "ood_force_mae": ("ood_force_mae", MILLI),
    "id_force_mae": ("id_force_mae", MILLI),
    "gap": ("gap", 1.0),
    "ood_energy_mae": ("ood_energy_mae", MILLI),
    "id_energy_mae": ("id_energy_mae", MILLI),
}
"""Name here and published unit of each published number."""
_SHOWN: Final = frozenset(
    {
        "protocol",
        "training",
        "edition",
        "labels",
        "dtype",
        "family",
        "speed",
        "hardware",
        "memory",
        "level of theory",
        ROUNDING,
    }
)
"""Notes that have a place of their own on the page."""


def entries_of_hub(dataset_id: str, revision: str | None, models: Sequence[str]) -> Gathered:
    """The published results on a data set, of every edition and level of theory.

    Args:
        dataset_id: Hub id of the data set.
        revision: Revision on which results must have been measured; `None` for any commit of the main branch.
        models: Further model repos to read.

    Raises:
        DataError: If the data set or the revision does not exist.
        SetupError: If the Hub cannot be reached.
    """
    return gathered([_of_board(board) for board in read_every_leaderboard(dataset_id, revision, models)])


def _of_board(board: Leaderboard) -> Gathered:
    groups: dict[tuple[str, str, int], list[Published]] = {}
    for ranked in (board.by_config, board.community):
        for row in (row for rows in ranked.values() for row in rows):
            each = row.published
            key = (each.model_id, each.notes.get("protocol", ""), each.pull_request or 0)
            groups.setdefault(key, []).append(each)
    elsewhere = [
        LeftOut(f"{each.model_id}, {each.config}", "it was measured on data that no commit of the data set holds")
        for each in board.elsewhere
    ]
    faults = [LeftOut(_place(fault.model_id, fault.place), one_line(fault.cause)) for fault in board.faults]
    unread = [LeftOut(one_line(model), one_line(why)) for model, why in sorted(board.unread.items())]
    return Gathered(
        tuple(_entry(group, board) for group in groups.values()),
        (*(LeftOut(one_line(each.place), each.cause) for each in elsewhere), *faults, *unread),
    )


def _place(model_id: str, place: str) -> str:
    return one_line(", ".join(filter(None, (model_id, place))))


def _entry(group: Sequence[Published], board: Leaderboard) -> Entry:
    first = group[0]
    notes, labels = first.notes, find_level(board.labels).method
    tasks = {task_of_config(each.config): _task(each) for each in group}
    return Entry(
        name=one_line(first.model_id),
        kind=_kind(first),
        data=data_of(board.edition, labels, board.content_hash),
        protocol=one_line(notes.get("protocol", "not stated")),
        evidence=_evidence(group),
        proof=_proof(notes),
        family=one_line(notes.get("family", "")),
        level_of_theory=one_line(notes.get("level of theory", "")),
        dtype=one_line(notes.get("dtype", "")),
        tasks=tasks,
        origin=_origin(first),
        overall=mean_of_four(tasks),
        speed=_speed(first),
        facts=_facts(first, board),
        commands=_commands(group, board),
        cautions=_cautions(group, labels),
    )


def _kind(first: Published) -> EntryKind:
    if first.status == "community":
        return "community"
    return "control" if first.notes.get("protocol") == "control" else "model"


def _evidence(group: Sequence[Published]) -> str:
    """The weakest evidence of the tasks."""
    found = {each.notes.get("training", "") for each in group}
    return next((each for each in ("not stated", "stated", "proved") if each in found), "")


def _proof(notes: Mapping[str, str]) -> str:
    """How the protocol is known, as the publisher says."""
    said = {
        "proved": "proved by its checkpoint, as published",
        "stated": f"as stated by {notes.get('stated by', 'its publisher')}",
        "not stated": "its training is not stated, so it counts as zero-shot",
    }.get(notes.get("training", ""), "as published")
    on = f" on {notes['trained on']}" if "trained on" in notes else ""
    base = f" of {notes['base']}" if "base" in notes else ""
    return one_line(f"{notes.get('protocol', 'not stated')}{on}{base}, {said}")


def _task(each: Published) -> TaskNumbers:
    numbers: dict[NumberName, Number] = {"gap": Number(None, reason=_NOT_PUBLISHED)}
    for published, (name, unit) in _NUMBERS.items():
        if published in each.values:
            numbers[name] = _number(each, published, unit)
    return TaskNumbers(numbers, int(seeds_of(each) or 0))


def _number(each: Published, published: str, unit: float) -> Number:
    value = unit * each.values[published]
    uncertainty = each.uncertainties.get(published)
    if uncertainty is None:
        return Number(value, reason=_NO_INTERVAL)
    deviation = None if uncertainty.deviation is None else unit * uncertainty.deviation
    if uncertainty.low is None or uncertainty.high is None:
        return Number(value, deviation=deviation, reason=_NO_INTERVAL)
    return Number(value, unit * uncertainty.low, unit * uncertainty.high, deviation)


def _origin(first: Published) -> Origin:
    request = "" if first.pull_request is None else f", pull request {first.pull_request}, not merged by its owner"
    state = "verified by the Hub" if first.status == "verified" else "" if request else "merged by its owner"
    text = f"{first.model_id} on the Hub" + (f", {state}" if state else request)
    return Origin("Hub", one_line(text), https_address(Repo(first.model_id, "model").url))


def _speed(first: Published) -> Speed:
    text, notes = speed_of(first), first.notes
    rounding = one_line(notes.get(ROUNDING, ""))
    if not text:
        return Speed(rounding=rounding)
    rate, hardware, memory = float(text.replace(",", "")), notes.get("hardware", ""), notes.get("memory", "")
    return Speed(rate, f"{text} structures/s", one_line(hardware), one_line(memory), rounding)


def _facts(first: Published, board: Leaderboard) -> tuple[tuple[str, str], ...]:
    revision = first.revision or board.commit
    facts = {
        "status": first.status + ("" if first.pull_request is None else f", pull request {first.pull_request}"),
        "data set": board.dataset_id + (f"@{revision}" if revision else ""),
        "content of the data": board.content_hash[:SHORT_HASH],
        "measured": first.date or "",
        **{key: text for key, text in first.notes.items() if key not in _SHOWN | OF_ONE_NUMBER},
    }
    return tuple((one_line(name, _LONGEST_KEY), one_line(text)) for name, text in facts.items() if text)


def _commands(group: Sequence[Published], board: Leaderboard) -> tuple[str, ...]:
    first = group[0]
    dataset = f"{board.dataset_id}@{first.revision}" if first.revision else None
    command = repeating_command(dataset, first.notes, [each.config for each in group])
    return () if command is None else (one_line(command),)


def _cautions(group: Sequence[Published], labels: str) -> tuple[str, ...]:
    notes = group[0].notes
    lines = []
    own = notes.get("level of theory")
    if notes.get("protocol") != "control" and own != labels:
        floor = f"; distance between the levels, as published: {notes['floor']}" if "floor" in notes else ""
        of_model = "unknown" if own is None else own
        lines.append(
            f"its level of theory is {of_model}, that of the labels {labels}: where they differ, every error includes "
            f"the difference, which hides the gap{floor}"
        )
    lines += [
        f"{task_of_config(each.config)}: tested on molecules that it was trained on: {each.notes['overlap']}"
        for each in group
        if "overlap" in each.notes
    ]
    return tuple(one_line(line) for line in lines)

"""Checks the numbers of one configuration against each other: if they contradict, none of them counts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.shown import shown
from model_cards.entries.entries import Examined, config_and_number
from model_cards.entries.notes import EDITION, has_former_interval, parse_notes
from model_cards.entries.scores import DIGITS

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

_Key = tuple[str, str, str | None]
"""Data set, configuration, and content hash of the data, or their edition where the hash is not stated."""

_OF_ONE_RUN: Final = ("protocol", "trained on", "training", "base", "model", "dtype", EDITION)
"""Notes that must agree between all numbers of one evaluation, where present."""


def by_evaluation(entries: Iterable["EvalResultEntry"]) -> dict[_Key, list["EvalResultEntry"]]:
    """Groups entries by data set, configuration, and the data they were measured on: content hash, else edition."""
    groups: defaultdict[_Key, list[EvalResultEntry]] = defaultdict(list)
    for entry in entries:
        notes = parse_notes(entry.notes)
        groups[entry.dataset_id, config_and_number(entry)[0], notes.get("content", notes.get(EDITION))].append(entry)
    return dict(groups)


def without_contradictions(entries: Sequence["EvalResultEntry"]) -> Examined:
    """Entries whose numbers can come from one evaluation, in their order; exact duplicates count once.

    Args:
        entries: Valid entries of one model, from one or more files.
    """
    dropped: set[int] = set()
    faults = []
    for (_, config, _), group in by_evaluation(entries).items():
        first = {_content(entry): entry for entry in reversed(group)}
        alone = [entry for entry in group if first[_content(entry)] is entry]
        causes = [*_twice(alone), *_mixed(alone), *_wrong_gap(alone)]
        dropped |= {id(entry) for entry in group if causes or first[_content(entry)] is not entry}
        faults += [f"{config}: {cause}; none of its numbers is used" for cause in causes]
    return Examined(tuple(entry for entry in entries if id(entry) not in dropped), tuple(faults))


def without_former_intervals(entries: Sequence["EvalResultEntry"]) -> Examined:
    """Entries of evaluations with intervals of the current kind; the former kind cannot be compared with them.

    An evaluation without any interval, which others may publish, is kept.
    """
    former = {
        key: group
        for key, group in by_evaluation(entries).items()
        if any(has_former_interval(parse_notes(entry.notes)) for entry in group)
    }
    dropped = {id(entry) for group in former.values() for entry in group}
    faults = (
        f"{config}: its intervals are of an earlier kind (bootstrap over molecules) that cannot be compared with "
        "current ones; `python -m harness report RUN_DIR` recomputes them without the model, and `harness push` "
        "publishes them"
        for _, config, _ in former
    )
    return Examined(tuple(entry for entry in entries if id(entry) not in dropped), tuple(faults))


def _content(entry: "EvalResultEntry") -> tuple[str, float, str | None, str | None]:
    """The parts of an entry that count for a ranking."""
    return entry.task_id, float(entry.value), entry.dataset_revision, entry.notes


def _twice(group: Sequence["EvalResultEntry"]) -> Iterator[str]:
    values: defaultdict[str, list[str]] = defaultdict(list)
    for entry in group:
        values[entry.task_id].append(f"{entry.value:g}")
    for task_id, found in values.items():
        if len(found) > 1:
            yield f"{task_id} occurs {len(found)} times ({', '.join(found[:3])})"


def _mixed(group: Sequence["EvalResultEntry"]) -> Iterator[str]:
    said: Sequence[Mapping[str, str]] = [parse_notes(entry.notes) for entry in group]
    for key in _OF_ONE_RUN:
        found = dict.fromkeys(notes[key] for notes in said if key in notes)
        if len(found) > 1:
            yield f"its numbers come from several evaluations ({key} {' and '.join(map(shown, [*found][:2]))})"


def _wrong_gap(group: Sequence["EvalResultEntry"]) -> Iterator[str]:
    """Compares the gap with the ratio of the two rounded errors."""
    values = {config_and_number(entry)[1].name: float(entry.value) for entry in group}
    if not {"gap", "ood_force_mae", "id_force_mae"} <= values.keys():
        return
    gap, ood, known = values["gap"], values["ood_force_mae"], values["id_force_mae"]
    half = 0.5 * 10.0**-DIGITS * (1.0 + 1e-6)
    highest = (ood + half) / (known - half) if known > half else float("inf")
    if not (ood - half) / (known + half) - half <= gap <= highest + half:
        ratio = f"{ood / known:.{DIGITS}f}" if known else "undefined"
        yield f"its gap is {gap:g}, but OOD / ID is {ood:g} / {known:g} = {ratio}"

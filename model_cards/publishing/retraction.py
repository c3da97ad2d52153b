"""Selects the published numbers to retract, and removes them from the files of a repo."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from dataset_builders.card.numbers import OVERALL_ID, parse_number_id
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.editions import UNKNOWN_EDITION
from dataset_builders.tasks.regions import TASKS
from harness.results.result import RunResult
from model_cards.cards.gap_picture import Panel
from model_cards.cards.section import (
    BEGIN,
    place_of_section,
    section_text,
    shows_picture,
    with_section,
    without_section,
)
from model_cards.cards.section_picture import section_panels
from model_cards.entries.consistency import without_contradictions
from model_cards.entries.entries import (
    BENCHMARK_TAG,
    ENTRIES_PATH,
    any_identity,
    benchmark_identity,
    entries_of,
    eval_results_of,
    examine_entries,
)
from model_cards.entries.entry_check import checked_entry
from model_cards.entries.model_index import (
    add_tag,
    has_one_tag_as_text,
    index_results_in,
    index_results_of,
    merge_index_results,
    model_names,
    remove_index_results,
    remove_tag,
    result_identity,
)
from model_cards.entries.notes import edition_in
from model_cards.publishing.published_lines import by_config, edition_of, is_pushed, parts
from model_cards.publishing.selection import Selection
from model_cards.text.front_matter import Card, split_card, with_front
from model_cards.text.yaml_text import Items, fill_empty, load_yaml, merge_items, remove_items

Today = Callable[[str], str]
"""Returns the current id of a data set."""

_LINE_ENDS: Final = "\r\n"
_ONE_HEADING: Final = re.compile(r"\s*# ([\w.-]+/[\w.-]+)\s")


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a repo that contain results; `None` for a file that does not exist.

    Attributes:
        entries: The files of entries that a push writes, by path; see `entries_path`.
        card: `README.md`.
    """

    entries: Mapping[str, str]
    card: str | None


@dataclass(frozen=True, slots=True)
class Retraction:
    """The result of a retraction in the files of a repo.

    Attributes:
        files: The files without the retracted numbers.
        gone: Retracted results, one line for each configuration.
        left: Remaining benchmark results with the reason, one line for each configuration.
        panels: What the picture in the section shows now; empty if it goes, `None` if it stays as it is.
    """

    files: Files
    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    panels: tuple[Panel, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Ours:
    """Identifies the numbers to retract.

    Attributes:
        selection: The requested selection.
        today: Returns the current id of a data set.
        entries: Value, revision and date of the entries of the results, by data set, task id and edition.
        index: Revision and values of their results in a `model-index`, by data set, edition, configuration and split.
        kept: Data set, edition and configuration of pushed entries that stay, as do their results in a `model-index`.
        means: Data set and edition of the overall scores to retract.
    """

    selection: Selection
    today: Today
    entries: Mapping[tuple[str, ...], list[tuple[float, str | None, datetime | None]]] = field(default_factory=dict)
    index: Mapping[tuple[str, ...], list[tuple[str | None, frozenset[float]]]] = field(default_factory=dict)
    kept: frozenset[tuple[str, ...]] = frozenset()
    means: frozenset[tuple[str, str]] = frozenset()

    def entry(self, item: Any) -> bool:
        """Whether to retract an entry."""
        identity = any_identity(item, self.today)
        if identity is None or not is_pushed(item):
            return False
        found = parse_number_id(identity[1])
        if found is None:
            return (identity[0], edition_of(item)) in self.means
        if not self.selection.names(identity[0], found[0]):
            return False
        return not self.selection.results or _fingerprint(item) in self.entries.get((*identity, edition_of(item)), [])

    def result(self, item: dict[str, Any]) -> bool:
        """Whether to retract a result of a `model-index`."""
        identity = result_identity(item, self.today)
        if identity is None or not is_pushed(item) or not self.selection.names(identity[0], identity[2]):
            return False
        if identity[:3] in self.kept:
            return False
        if not self.selection.results:
            return True
        revision, values = _measured(item)
        return any(revision == own and values <= known for own, known in self.index.get(identity, []))


def retraction(
    files: Files, repo_id: str, selection: Selection, today: Today, before: Callable[[], Files | None]
) -> Retraction:
    """Retracts numbers from the files of a repo; text of other authors stays identical to the byte.

    Args:
        files: The present files.
        repo_id: The repo.
        selection: The numbers to retract.
        today: Returns the current id of a data set.
        before: Returns the files before results were pushed, if known. They show additions of a push that leave
            no other trace, such as a line ending or a tag.

    Raises:
        DataError: If a file cannot be changed at these places alone.
    """
    ours = _indexed(selection, today)
    items = _all_items(files)
    ours = replace(ours, kept=frozenset(_configs_of(filter(is_pushed, items), ours)))
    ours = replace(ours, means=_means_to_retract(items, ours))
    card = split_card(files.card or "")
    results = index_results_in(card.front)
    gone, index_gone = [each for each in items if ours.entry(each)], [each for each in results if ours.result(each)]
    stay = [each for each in items if not ours.entry(each)]
    is_last = not any(is_pushed(each) and benchmark_identity(each) for each in stay) and not any(
        is_pushed(each) and result_identity(each) and not ours.result(each) for each in results
    )
    is_orphan = is_last and selection == Selection() and place_of_section(card) is not None
    left = tuple(_left(stay, selection, today))
    if not gone and not index_gone and not is_orphan:
        return Retraction(files, (), left)
    earlier = before() if is_last else None
    entries = {
        path: rest
        for path, text in files.entries.items()
        if (rest := _entries_without(path, text, ours, earlier)) is not None
    }
    panels: tuple[Panel, ...] | None = ()
    if is_last:
        new_card = _card_without_any(files.card, repo_id, index_gone, ours, earlier)
    else:
        new_card, panels = _card_with_the_rest(files.card, entries, ours)
    lines = [*by_config(gone, index_gone, today)] or ["the section of the card, which has no entries"]
    return Retraction(Files(entries, new_card), tuple(lines), left, panels)


def named_in(text: str | None, selection: Selection, today: Today) -> list[str]:
    """The selected numbers in a file, regardless of their author, one line for each configuration.

    Raises:
        DataError: If the file is not YAML.
    """
    return [*by_config(_selected(_items(text, "its file"), selection, today), (), today)]


def holds_results(files: Files) -> bool:
    """Whether the files contain anything that a push wrote."""
    return BEGIN in (files.card or "") or any(map(is_pushed, _all_items(files)))


def pushed_entries(files: Files) -> list[Any]:
    """The benchmark entries that a push wrote."""
    return [each for each in _all_items(files) if is_pushed(each) and benchmark_identity(each)]


def _all_items(files: Files) -> list[Any]:
    return [item for path in sorted(files.entries) for item in _items(files.entries[path], path)]


def _indexed(selection: Selection, today: Today) -> _Ours:
    entries: dict[tuple[str, ...], list[tuple[float, str | None, datetime | None]]] = {}
    index: dict[tuple[str, ...], list[tuple[str | None, frozenset[float]]]] = {}
    for result in map(_whole_tasks, selection.results):
        for entry in entries_of(result, ""):
            mark = float(entry.value), entry.dataset_revision, _moment(entry.date)
            for edition in (edition_in(entry.notes), UNKNOWN_EDITION):
                entries.setdefault((entry.dataset_id, entry.task_id, edition), []).append(mark)
        for each in index_results_of(eval_results_of(result)):
            identity = result_identity(each)
            if identity is not None:
                # Pushes of earlier versions named no edition; there, the revision tells evaluations apart.
                for edition in (identity[1], UNKNOWN_EDITION):
                    index.setdefault((identity[0], edition, *identity[2:]), []).append(_measured(each))
    return _Ours(selection, today, entries, index)


def _whole_tasks(result: RunResult) -> RunResult:
    """The result without tasks that lack a test split; such tasks are never pushed."""
    whole = {name: task for name, task in result.tasks.items() if {"test_id", "test_ood"} <= task.splits.keys()}
    return result.model_copy(update={"tasks": whole})


def _configs_of(items: Iterable[Any], ours: _Ours) -> Iterator[tuple[str, str, str]]:
    """Data set, edition and configuration of the entries that stay."""
    for item in items:
        identity = benchmark_identity(item, ours.today)
        if identity is not None and not ours.entry(item):
            for edition in (edition_of(item), UNKNOWN_EDITION):
                yield identity[0], edition, parts(identity[1])[0]


def _means_to_retract(items: Sequence[Any], ours: _Ours) -> frozenset[tuple[str, str]]:
    """Data set and edition of the overall scores that lose one of their four tasks."""
    return frozenset(
        (identity[0], edition_of(item))
        for item in items
        if (identity := any_identity(item, ours.today)) is not None
        and identity[1] == OVERALL_ID
        and is_pushed(item)
        and not all((identity[0], edition_of(item), task) in ours.kept for task in TASKS)
    )


def _fingerprint(item: dict[str, Any]) -> tuple[float, str | None, datetime | None] | None:
    """Distinguishes the entries of different evaluations; `None` for an unreadable entry."""
    try:
        entry = checked_entry(item)
    except DataError:
        return None
    return float(entry.value), entry.dataset_revision, _moment(entry.date)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _measured(item: dict[str, Any]) -> tuple[str | None, frozenset[float]]:
    """Revision of the data set and all values of a result in a `model-index`."""
    metrics = item.get("metrics")
    values = [each.get("value") for each in metrics if isinstance(each, dict)] if isinstance(metrics, list) else []
    return item["dataset"].get("revision"), frozenset(each for each in values if isinstance(each, int | float))


def _items(text: str | None, path: str) -> list[Any]:
    found = load_yaml(text or "", path)
    return found if isinstance(found, list) else []


def _entries_without(path: str, text: str, ours: _Ours, earlier: Files | None) -> str | None:
    """A file of entries without the retracted ones; `None` if nothing is left."""
    gone = [each for each in _items(text, path) if ours.entry(each)]
    if not gone:
        return text
    if earlier is not None and _entries_added(earlier.entries.get(path), gone, path) == text:
        return earlier.entries.get(path)
    rest = remove_items(text, (), ours.entry, path)
    return None if rest.strip() == "[]" else rest


def _entries_added(text: str | None, added: Sequence[Any], path: str) -> str | None:
    """The file of entries as a push of new entries writes it."""
    with contextlib.suppress(DataError):
        if not _items(text, path):
            return fill_empty(text or "", added, path)
        return merge_items(text or "", (), Items(dict(enumerate(added)), lambda item: None), path)
    return None


def _card_with_the_rest(
    text: str | None, entries: Mapping[str, str], ours: _Ours
) -> tuple[str | None, tuple[Panel, ...] | None]:
    """The card with the remaining numbers, and what its picture shows if it has one."""
    if text is None:
        return None, None
    card = split_card(text)
    card = with_front(card, remove_index_results(card.front, ours.result, None)) if card.front else card
    if place_of_section(card) is None:
        return card.text, None
    paths = sorted(entries, key=lambda path: (path != ENTRIES_PATH, path))
    examined = [examine_entries(entries[path], path, today=ours.today).entries for path in paths]
    rest = without_contradictions([entry for each in examined for entry in each])
    panels = section_panels(rest.entries) if shows_picture(card) else None
    return with_section(card, section_text(rest.entries, panels or ())).text, panels


def _card_without_any(
    text: str | None, repo_id: str, index_gone: Sequence[dict[str, Any]], ours: _Ours, earlier: Files | None
) -> str | None:
    """The card without section, tag and results of the benchmark; `None` if a push had created it."""
    if text is None:
        return None
    if earlier is not None and _card_pushed(earlier.card, text, repo_id, index_gone) == text:
        return earlier.card
    card = split_card(text)
    base = None if earlier is None else split_card(earlier.card or "")
    place = place_of_section(card)
    is_at_end = place is not None and not card.body[place.stop :].strip(_LINE_ENDS)
    if card.front:
        front = remove_index_results(card.front, ours.result, base.front if base else None)
        # The tag belongs to the section; without a section, someone has kept the tag on purpose.
        front = remove_tag(front, BENCHMARK_TAG, base.front if base else None) if place is not None else front
        card = _without_front(card, base) if not front.strip() else replace(card, front=front)
    card = without_section(card)
    if is_at_end and base is not None:
        # Only the earlier card shows how many of the final line endings a push has added.
        ends = base.body[len(base.body.rstrip(_LINE_ENDS)) :]
        card = replace(card, body=card.body.rstrip(_LINE_ENDS) + ends)
    return card.text


def _card_pushed(before: str | None, now: str, repo_id: str, index: Sequence[dict[str, Any]]) -> str | None:
    """The card that a push makes from an earlier one, with the current section; `None` if it makes none."""
    card = split_card(now)
    if before is None:
        # A push creates a card with one heading: the id of the repo at that time.
        named = _ONE_HEADING.match(card.body)
        repo_id = named[1] if named else repo_id
    base = Card("", "", "", f"# {repo_id}\n") if before is None else split_card(before)
    if has_one_tag_as_text(base.front):
        return None  # The Hub now refuses such a card.
    with contextlib.suppress(DataError):
        place = place_of_section(card)
        if place is None or not index:
            return None
        name = next((each for each in model_names(card.front, index)), repo_id)
        front = merge_index_results(add_tag(base.front, BENCHMARK_TAG), name, index)
        lines = card.body[place].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return with_section(with_front(base, front), "\n".join(lines[1:-1]) + "\n").text
    return None


def _without_front(card: Card, base: Card | None) -> Card:
    """A card with empty YAML, without the lines around it unless they existed before."""
    if base is not None and base.closing:
        return replace(card, front="")
    opening = card.opening[: card.opening.rindex("---")]
    body = card.body
    blank = next((each for each in ("\r\n", "\n", "\r") if body.startswith(each)), "")
    return Card(opening, "", "", body.removeprefix(blank))


def _selected(items: Sequence[Any], selection: Selection, today: Today) -> list[Any]:
    """The entries of the selected configurations."""
    identities = [benchmark_identity(each, today) for each in items]
    return [
        each
        for each, identity in zip(items, identities, strict=True)
        if identity is not None and selection.names(identity[0], parts(identity[1])[0])
    ]


def _left(stay: Sequence[Any], selection: Selection, today: Today) -> Iterator[str]:
    """Remaining benchmark results, with the reason."""
    selected = _selected(stay, selection, today)
    pushed = [each for each in selected if is_pushed(each)]
    others = [each for each in stay if benchmark_identity(each) and each not in selected]
    yield from (f"{line}: not from these results" for line in by_config(pushed, (), today))
    yield from (
        f"{line}: not written by push" for line in by_config([e for e in selected if not is_pushed(e)], (), today)
    )
    yield from (f"{line}: not asked for" for line in by_config(others, (), today))

"""Published results in words: which configurations, on which data sets, and with which numbers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dataset_builders.card.numbers import parse_number_id
from dataset_builders.core.shown import shown
from dataset_builders.tasks.regions import in_order
from model_cards.entries.entries import BENCHMARK_TAG, benchmark_identity
from model_cards.entries.model_index import result_identity
from model_cards.entries.notes import edition_in


def is_pushed(item: Any) -> bool:
    """Whether an entry, or a result of a `model-index`, names a push of this project as its source."""
    source = item.get("source") if isinstance(item, dict) else None
    return isinstance(source, dict) and source.get("name") == BENCHMARK_TAG


def edition_of(item: dict[str, Any]) -> str:
    """The edition that an entry names; `UNKNOWN_EDITION` if it names none."""
    notes = item.get("notes")
    return edition_in(notes if isinstance(notes, str) else None)


def by_config(gone: Sequence[Any], index_gone: Sequence[dict[str, Any]], today: Callable[[str], str]) -> Iterator[str]:
    """The retracted or remaining results, one line for each configuration."""
    numbers: dict[tuple[str, str], list[str]] = {}
    for item in gone:
        identity = benchmark_identity(item, today)
        if identity is not None:
            config, number = parts(identity[1])
            numbers.setdefault((identity[0], config), []).append(number)
    for result in index_gone:
        found = result_identity(result, today)
        if found is not None:
            numbers.setdefault((found[0], found[2]), [])
    order = in_order({config for _, config in numbers})
    for dataset_id, config in sorted(numbers, key=lambda each: (each[0], order.index(each[1]))):
        named = ", ".join(dict.fromkeys(numbers[dataset_id, config])) or "in the model-index only"
        yield f"{shown(config)} on {shown(dataset_id)} ({named})"


def parts(task_id: str) -> tuple[str, str]:
    """Configuration and name of the number of an id."""
    found = parse_number_id(task_id)
    return (task_id, "") if found is None else (found[0], found[1].name)

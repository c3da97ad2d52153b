"""Names for compared results: the id of the model, with what differs if several results have the same id."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from dataset_builders.core.errors import UsageError
from dataset_builders.core.hashes import SHORT_HASH
from harness.results.result import RunResult

ABSENT: Final = "none"

# Properties of a model and of its evaluation that a user chooses: all that differ are shown.
_CHOSEN: Final[tuple[tuple[str, Callable[[RunResult], object]], ...]] = (
    ("commit", lambda result: result.model.revision and result.model.revision[:SHORT_HASH]),
    ("family", lambda result: result.model.family),
    ("protocol", lambda result: result.model.protocol),
    ("trained on", lambda result: result.model.trained_on),
    ("base", lambda result: result.model.base),
    ("head", lambda result: result.model.head),
    ("level of theory", lambda result: result.model.level_of_theory),
    ("stopped", lambda result: result.model.unfinished),
    ("precision", lambda result: result.model.dtype),
    ("device", lambda result: result.model.device),
    ("compiled", lambda result: "yes" if result.model.is_compiled else "no"),
)
# Properties of the installation: shown only as far as they are needed.
_INCIDENTAL: Final[tuple[tuple[str, Callable[[RunResult], object]], ...]] = (
    ("batch atoms", lambda result: result.settings.batch_atoms),
    ("code", lambda result: result.environment.code_hash[:SHORT_HASH]),
    ("Python", lambda result: result.environment.python),
    ("platform", lambda result: result.environment.platform),
)


def distinct_names(results: Sequence[RunResult]) -> list[str]:
    """A different name for each result, in their order: the id of its model, and what differs from equal ids.

    Raises:
        UsageError: If two results are of one evaluation.
    """
    by_id: dict[str, list[RunResult]] = {}
    for result in results:
        by_id.setdefault(result.model.id, []).append(result)
    names = {model_id: iter(_names(model_id, group)) for model_id, group in by_id.items()}
    return [next(names[result.model.id]) for result in results]


def _names(model_id: str, group: Sequence[RunResult]) -> list[str]:
    if len(group) == 1:
        return [model_id]
    columns = [_column(title, [value(result) for result in group]) for title, value in _CHOSEN]
    shown = [column for column in columns if len(set(column)) > 1]
    times = _column("evaluated", [result.created.isoformat() for result in group])
    for column in chain(_file_columns(group), _incidental(group), _package_columns(group), [times]):
        if _n_distinct(shown) == len(group):
            break
        if _n_distinct([*shown, column]) > _n_distinct(shown):
            shown.append(column)
    if _n_distinct(shown) < len(group):
        raise UsageError(f"two of the results are of one evaluation of {model_id}; give each run once")
    return [f"{model_id} ({', '.join(parts)})" for parts in zip(*shown, strict=True)]


def _n_distinct(columns: Sequence[Sequence[str]]) -> int:
    """Number of results that the columns distinguish."""
    return len(set(zip(*columns, strict=True))) if columns else 1


def _column(title: str, values: Sequence[object]) -> list[str]:
    return [f"{title} {ABSENT if value is None else value}" for value in values]


def _incidental(group: Sequence[RunResult]) -> list[list[str]]:
    return [_column(title, [value(result) for result in group]) for title, value in _INCIDENTAL]


def _file_columns(group: Sequence[RunResult]) -> list[list[str]]:
    """Hashes by file, weights before settings."""
    known = {name for result in group for name in result.model.files}
    names = sorted(known, key=lambda name: (name.endswith(".json"), name))
    return [
        _column(name, [sha256 and sha256[:SHORT_HASH] for sha256 in (result.model.files.get(name) for result in group)])
        for name in names
    ]


def _package_columns(group: Sequence[RunResult]) -> list[list[str]]:
    names = sorted({name for result in group for name in result.environment.packages})
    return [_column(name, [result.environment.packages.get(name) for result in group]) for name in names]

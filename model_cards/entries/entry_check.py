"""Checks one entry of an untrusted file before its number is used."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from dataset_builders.card.numbers import LeaderboardNumber, parse_number_id
from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

_MAX_TEXT: Final = 2_000
_MAX_NOTES: Final = 8_000
"""Notes written by this project have about 700 characters."""
_MAX_ERROR: Final = 1e9
"""Upper bound of an error in meV or meV/Å and of a gap; a larger value cannot be a measurement."""
_FIRST_YEAR: Final = 2020
_LAST_YEAR: Final = 9998
_CLOCKS: Final = timedelta(days=1)
"""Largest accepted difference between the clocks of two machines, time zones included."""


def _in_print(value: Any) -> Any:
    """Checks for control characters; line breaks and tabs, which hand-written notes may contain, are allowed."""
    if isinstance(value, str) and not " ".join(value.split()).isprintable():
        raise ValueError("it contains control characters, or characters that change the direction of text")
    return value


def _as_date(value: Any) -> Any:
    """A date as text; YAML parses an unquoted one as a date."""
    return value.isoformat() if isinstance(value, date) else value


_Text = Annotated[str, BeforeValidator(_in_print), StringConstraints(strict=True, max_length=_MAX_TEXT)]
_Notes = Annotated[str, BeforeValidator(_in_print), StringConstraints(strict=True, max_length=_MAX_NOTES)]
_RepoId = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
_Revision = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=r"^[A-Za-z0-9_./-]+$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Dataset(_Record):
    id: _RepoId
    task_id: _Text
    revision: _Revision | None = None


class _Source(_Record):
    url: _Text | None = None
    name: _Text | None = None
    user: _Text | None = None
    org: _Text | None = None


class _Entry(_Record):
    dataset: _Dataset
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    date: Annotated[_Text | None, BeforeValidator(_as_date)] = None
    source: _Source | None = None
    notes: _Notes | None = None
    verify_token: _Text | None = Field(default=None, alias="verifyToken")


def entry_identity(item: Any) -> tuple[str, str] | None:
    """Data set and task id of an entry; `None` for anything else."""
    dataset = item.get("dataset") if isinstance(item, dict) else None
    if not isinstance(dataset, dict):
        return None
    found = dataset.get("id"), dataset.get("task_id")
    return (found[0], found[1]) if isinstance(found[0], str) and isinstance(found[1], str) else None


def checked_entry(item: Mapping[str, Any]) -> "EvalResultEntry":
    """Converts an item to the client's entry type if all its fields are plausible.

    A source without a URL, which the client rejects, is dropped; the number is kept.

    Args:
        item: The parsed item of the file.

    Raises:
        DataError: If it is not an entry of this benchmark, or a field is missing, wrong or out of bounds.
    """
    from huggingface_hub import EvalResultEntry

    try:
        entry = _Entry.model_validate(item)
    except ValidationError as cause:
        raise DataError(_first_error(cause)) from None
    found = parse_number_id(entry.dataset.task_id)
    if found is None:
        raise DataError(
            f"{shown(entry.dataset.task_id)} is not an id of this benchmark; expected one such as task3_score"
        )
    require_possible(entry.value, found[1])
    if entry.date is not None:
        _require_date(entry.date)
    source = entry.source if entry.source is not None and entry.source.url is not None else _Source()
    return EvalResultEntry(
        dataset_id=entry.dataset.id,
        task_id=entry.dataset.task_id,
        value=item["value"],
        dataset_revision=entry.dataset.revision,
        verify_token=entry.verify_token,
        date=entry.date,
        source_url=source.url,
        source_name=source.name,
        source_user=source.user,
        source_org=source.org,
        notes=entry.notes,
    )


def require_possible(value: float, number: LeaderboardNumber) -> None:
    """Checks that a number lies within its possible range."""
    if number.name == "score":
        possible, expected = 0.0 <= value <= 100.0, "0 to 100"
    elif number.name == "gap":
        possible, expected = 0.0 < value <= _MAX_ERROR, "a number above 0"
    else:
        possible, expected = 0.0 <= value <= _MAX_ERROR, f"0 {number.unit} or more"
    if not possible:
        raise DataError(f"value is {value:g}; expected {expected}")


def _require_date(text: str) -> None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"date is {shown(text)}; expected an ISO-8601 date or time") from None
    if _FIRST_YEAR <= found.year <= _LAST_YEAR:
        latest = datetime.now(UTC) + _CLOCKS
        if (found if found.tzinfo else found.replace(tzinfo=UTC)) <= latest:
            return
    raise DataError(f"date is {shown(text)}; expected a date from {_FIRST_YEAR} until today")


def _first_error(cause: ValidationError) -> str:
    error = cause.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, error["loc"])) or "entry"
    said = re.sub(r"^Value error, ", "", error["msg"])
    return f"{place} is {'missing' if error['type'] == 'missing' else shown(error['input'])}; {said}"

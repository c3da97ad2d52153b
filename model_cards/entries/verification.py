"""What the Hub says of published numbers: which it has verified, and which files of entries it refuses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.card.numbers import parse_number_id
from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.markdown import printable
from model_cards.entries.entry_check import checked_entry, entry_identity
from model_cards.hub.bounded_reading import read_answer
from model_cards.hub.dataset_names import as_written

_NOT_THERE: Final = (400, 403, 404)
_T = TypeVar("_T", bound=BaseModel)

VerifiedNumber = tuple[str, float]
"""Task id and value of a published number."""


class BoardRow(BaseModel):
    """A row of the Hub's leaderboard of a data set, which ranks by the first task id."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_id: str = Field(alias="modelId", max_length=200, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
    value: float = Field(strict=True, allow_inf_nan=False)
    verified: bool = Field(default=False, strict=True)
    pull_request: int | None = Field(default=None, alias="pullRequest")


class _EvalResult(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    data: dict[str, Any]
    verified: bool = Field(default=False, strict=True)
    pull_request: int | None = Field(default=None, alias="pullRequest")


class _RefusedFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    filename: str = Field(max_length=500)
    error: str = Field(max_length=2000)
    pull_request: int | None = Field(default=None, alias="pullRequest")


@dataclass(frozen=True, slots=True)
class Board:
    """The Hub's leaderboard of a data set.

    Attributes:
        is_there: Whether the data set has a leaderboard; the Hub verifies results of such data sets only.
        rows: The readable rows.
        n_unread: Number of unreadable rows.
    """

    is_there: bool
    rows: tuple[BoardRow, ...] = ()
    n_unread: int = 0


def read_board(dataset_id: str) -> Board:
    """The Hub's leaderboard of a data set.

    Raises:
        SetupError: If the Hub cannot be reached.
        DataError: If its answer cannot be read.
    """
    repo = Repo(dataset_id, "dataset")
    path = f"/api/datasets/{dataset_id}/leaderboard"
    answer = _answer(repo, path, {"base_model": "false"}, f"the leaderboard of {repo}")
    if answer is None:
        return Board(is_there=False)
    rows = [*_valid(BoardRow, answer)]
    return Board(True, tuple(rows), len(answer) - len(rows))


def verified_numbers(
    model_id: str, dataset_id: str, today: Callable[[str], str] = as_written
) -> frozenset[VerifiedNumber]:
    """The numbers on a data set, on the main branch of a model, that the Hub marks as verified.

    Args:
        model_id: Repo of the model.
        dataset_id: Current id of the data set.
        today: Returns the current id of a data set.

    Raises:
        SetupError: If the Hub cannot be reached.
        DataError: If its answer cannot be read.
    """
    repo = Repo(model_id, "model")
    answer = _answer(repo, f"/api/models/{model_id}", {"expand": "evalResults"}, f"results of {repo}") or []
    verified = [each.data for each in _valid(_EvalResult, answer) if each.verified and each.pull_request is None]
    return frozenset(number for data in verified for number in _number(data, dataset_id, today))


def refused_files(repo: Repo, pull_request: int | None = None) -> tuple[tuple[str, str], ...]:
    """Files of entries that the Hub holds but refuses: one invalid entry voids all numbers of its file.

    Args:
        repo: Repo of a model.
        pull_request: Number of the pull request that is looked at; `None` for the main branch.

    Returns:
        Path of each file, and the reason that the Hub gives.

    Raises:
        SetupError: If the Hub cannot be reached.
        DataError: If its answer cannot be read.
    """
    answer = _answer(repo, f"/api/models/{repo.id}", {"expand": "evalResults"}, f"results of {repo}") or []
    found = [each for each in _valid(_RefusedFile, answer) if each.pull_request == pull_request]
    return tuple((printable(each.filename), printable(each.error)) for each in found)


def _number(data: dict[str, Any], dataset_id: str, today: Callable[[str], str]) -> Iterator[VerifiedNumber]:
    identity = entry_identity(data)
    if identity is None or parse_number_id(identity[1]) is None or today(identity[0]) != dataset_id:
        return
    try:
        entry = checked_entry(data)
    except DataError:
        return  # Its faults are reported where its file is read.
    yield entry.task_id, float(entry.value)


def _answer(repo: Repo, path: str, parameters: dict[str, str], name: str) -> list[Any] | None:
    """The list in an answer of the Hub, bare or under `evalResults`; `None` if there is none."""
    from huggingface_hub.errors import HfHubHTTPError

    with explained(repo):
        try:
            answer = read_answer(path, parameters, name)
        except HfHubHTTPError as cause:
            if cause.response.status_code not in _NOT_THERE:
                raise
            return None
    found = answer.get("evalResults") if isinstance(answer, dict) else answer
    return found if isinstance(found, list) else None


def _valid(kind: type[_T], items: Sequence[Any]) -> Iterator[_T]:
    for item in items:
        try:
            yield kind.model_validate(item)
        except ValidationError:
            continue

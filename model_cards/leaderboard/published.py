"""Reads the published results of one model: each file and pull request separately, since anyone may write them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.card.numbers import SCORE, number_id
from dataset_builders.core.errors import DataError, MlipOodError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.pull_requests import open_pull_requests
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.core.yaml_bounds import MAX_CHARACTERS
from model_cards.entries.consistency import by_evaluation, without_contradictions, without_former_intervals
from model_cards.entries.entries import (
    ENTRIES_PATH,
    OWN_FILE,
    PULL_REQUEST_TITLE,
    RESULTS_FILE,
    config_and_number,
    examine_entries,
)
from model_cards.entries.notes import parse_notes
from model_cards.entries.verification import VerifiedNumber, verified_numbers
from model_cards.hub.bounded_reading import read_file
from model_cards.hub.dataset_names import DatasetNames
from model_cards.text.front_matter import decode_text

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry, RepoFile

Status = Literal["verified", "merged", "community"]
"""`verified`: the Hub has verified the score. `merged`: it is on the main branch of the model.
`community`: it is in an open pull request."""

MAX_FILES: Final = 100
"""Limit on result files that are read per revision, the benchmark's own first."""
MAX_FILES_OF_PULL_REQUEST: Final = 5
"""The same limit for a pull request, which anyone may open; files that are on the main branch do not count."""
MAX_PULL_REQUESTS: Final = 50
"""Limit on open pull requests that are read per model, the oldest first, so that later ones displace none."""

MAX_LOOKUPS_OF_PULL_REQUEST: Final = 3
"""Limit on look-ups of other data-set ids per pull request."""

_NUMBER: Final = r"-?\d{1,12}(?:\.\d{1,12})?"
_COUNT: Final = re.compile(r"[1-9]\d{0,3}", re.ASCII)
_SPEED: Final = re.compile(r"(\d{1,3}(?:,\d{3}){0,3}(?:\.\d{1,4})?) structures/s", re.ASCII)
_FOLDER: Final = ".eval_results"


_INTERVAL: Final = re.compile(rf"({_NUMBER}) to ({_NUMBER})", re.ASCII)
_DEVIATION: Final = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is published of the uncertainty of a number, in its published unit.

    Attributes:
        low: Lower end of its interval; `None` if there is none, or it does not hold the number.
        high: Upper end.
        deviation: Standard deviation between seeds; `None` if it is not stated.
    """

    low: float | None
    high: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True)
class Published:
    """The published results of one model on one configuration.

    Attributes:
        model_id: Repo of the model.
        config: Configuration of the data set, such as `task2`.
        values: Published numbers by name (see `dataset_builders.card.numbers.NUMBERS`), in their units.
        notes: Its notes by key: protocol, dtype, content (hash of the data), ...
        revision: Commit of the data set.
        status: Whether it is verified, merged or in a pull request.
        pull_request: Number of its pull request, if it is in one.
        uncertainties: What is published of the uncertainty of each number, by name.
        date: Date of the evaluation, if it is stated.
    """

    model_id: str
    config: str
    values: Mapping[str, float]
    notes: Mapping[str, str]
    revision: str | None
    status: Status
    pull_request: int | None = None
    uncertainties: Mapping[str, Uncertainty] = field(default_factory=dict)
    date: str | None = None


def seeds_of(published: Published) -> str:
    """The number of seeds that a number averages; empty if the notes do not state a valid count."""
    found = published.notes.get("seeds", "")
    return found if _COUNT.fullmatch(found) else ""


def speed_of(published: Published) -> str:
    """Structures per second; empty if the notes do not state a valid number."""
    found = _SPEED.fullmatch(published.notes.get("speed", ""))
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A result that was excluded.

    Attributes:
        model_id: Repo of the model.
        place: File or pull request.
        cause: The reason.
    """

    model_id: str
    place: str
    cause: str


@dataclass(frozen=True, slots=True)
class Found:
    """The results of a model or of one of its revisions.

    Attributes:
        results: Results that can be ranked.
        faults: Excluded results.
    """

    results: tuple[Published, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Revision:
    """The revision from which results are read.

    Attributes:
        repo: Repo of the model.
        name: Branch, or `refs/pr/N`.
        dataset_id: Data set whose results are wanted.
        names: Current ids of data sets.
        pull_request: Number of the pull request, if it is one.
        without: Git hashes of files to skip.
        commit: Its commit, once resolved.
    """

    repo: Repo
    name: str
    dataset_id: str
    names: DatasetNames
    pull_request: int | None = None
    without: frozenset[str] = frozenset()
    commit: str = ""

    def fault(self, place: str, cause: object) -> Fault:
        """A fault at this revision."""
        where = "" if self.pull_request is None else f"pull request {self.pull_request}"
        return Fault(self.repo.id, ", ".join(filter(None, (where, place))), str(cause))


def published_by(
    model_id: str,
    dataset_id: str,
    verified: frozenset[VerifiedNumber] | None = None,
    names: DatasetNames | None = None,
) -> Found:
    """The results that one model has published on a data set, on its main branch and in open pull requests.

    The content of a pull request never affects the results on the main branch.

    Args:
        model_id: Repo of the model.
        dataset_id: Current id of the data set.
        verified: Numbers that the Hub's leaderboard marks as verified; `None` without a leaderboard, where the Hub
            verifies nothing.
        names: Current ids of data sets that were looked up already.

    Raises:
        DataError: If the model does not exist.
        SetupError: If the Hub cannot be reached.
    """
    names = (names or DatasetNames({dataset_id: dataset_id})).renewed()
    main = _pinned(_Revision(Repo(model_id, "model"), MAIN, dataset_id, names))
    files = _files_at(main)
    merged = _read(main, files)
    results, of_hub = _with_verification(merged.results, main, verified)
    community = [*_in_pull_requests(replace(main, without=frozenset(file.blob_id for file in files)), merged.results)]
    return Found(
        (*results, *(each for found in community for each in found.results)),
        (*merged.faults, *of_hub, *(fault for found in community for fault in found.faults)),
    )


def _in_pull_requests(main: _Revision, merged: Sequence[Published]) -> Iterator[Found]:
    """The results in open pull requests that are not merged, each request read separately."""
    try:
        numbers = sorted(open_pull_requests(main.repo, PULL_REQUEST_TITLE))
    except MlipOodError as cause:
        yield Found((), (main.fault("pull requests", cause),))
        return
    for number in numbers[:MAX_PULL_REQUESTS]:
        names = main.names.renewed(MAX_LOOKUPS_OF_PULL_REQUEST)
        revision = replace(main, name=f"refs/pr/{number}", names=names, pull_request=number)
        try:
            revision = _pinned(revision)
            found = _read(revision, _files_at(revision))
        except MlipOodError as cause:
            yield Found((), (revision.fault("", cause),))
            continue
        new = tuple(each for each in found.results if not any(_same(each, other) for other in merged))
        yield Found(new, found.faults)
    if len(numbers) > MAX_PULL_REQUESTS:
        left_out = f"there are {len(numbers)} of results; only the oldest {MAX_PULL_REQUESTS} are read"
        yield Found((), (main.fault("pull requests", left_out),))


def _pinned(revision: _Revision) -> _Revision:
    from huggingface_hub import HfApi

    with explained(revision.repo, revision.name):
        # The card is not requested: the client reads it together with much other information about a repo.
        info = retried(lambda: HfApi().model_info(revision.repo.id, revision=revision.name, expand=["sha"]))
    return replace(revision, commit=str(info.sha))


def _files_at(revision: _Revision) -> list["RepoFile"]:
    """The result files at a revision, the benchmark's own first."""
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import EntryNotFoundError

    repo = revision.repo

    def call() -> list[RepoFile]:
        try:
            tree = HfApi().list_repo_tree(repo.id, _FOLDER, revision=revision.commit, repo_type=repo.kind)
            return [each for each in islice(tree, 10 * MAX_FILES) if isinstance(each, RepoFile)]
        except EntryNotFoundError:
            return []

    with explained(repo, revision.name):
        listed = retried(call)
    files = [file for file in listed if RESULTS_FILE.fullmatch(file.path) and file.blob_id not in revision.without]
    return sorted(files, key=lambda file: (OWN_FILE.fullmatch(file.path) is None, file.path != ENTRIES_PATH, file.path))


def _read(revision: _Revision, files: Sequence["RepoFile"]) -> Found:
    """The results in the files, each file read separately."""
    entries: list[EvalResultEntry] = []
    faults: list[Fault] = []
    most = MAX_FILES if revision.pull_request is None else MAX_FILES_OF_PULL_REQUEST
    if len(files) > most:
        left_out = f"there are {len(files)} files of results; only {most} are read, starting with {files[0].path}"
        faults.append(revision.fault(_FOLDER, left_out))
    for file in files[:most]:
        try:
            text = _text_of(revision, file)
            examined = examine_entries(text, file.path, (revision.dataset_id,), revision.names.today)
        except MlipOodError as cause:
            faults.append(revision.fault(file.path, cause))
            continue
        entries += examined.entries
        faults += [revision.fault(file.path, fault) for fault in examined.faults]
    consistent = without_contradictions(entries)
    today = without_former_intervals(consistent.entries)
    faults += [revision.fault("", fault) for fault in (*consistent.faults, *today.faults, *revision.names.faults)]
    return Found(tuple(_results_of(revision, today.entries)), tuple(faults))


def _text_of(revision: _Revision, file: "RepoFile") -> str:
    # UTF-8 needs at least one byte per character.
    if file.size > 4 * MAX_CHARACTERS:
        raise DataError(f"it has {file.size:,} bytes; expected at most {MAX_CHARACTERS:,} characters")
    with explained(revision.repo, revision.name):
        content = read_file(revision.repo, revision.commit, file.path, 4 * MAX_CHARACTERS)
    return decode_text(content, file.path)


def _results_of(revision: _Revision, entries: Iterable["EvalResultEntry"]) -> Iterator[Published]:
    for (_, config, _), group in by_evaluation(entries).items():
        yield Published(
            model_id=revision.repo.id,
            config=config,
            values={config_and_number(entry)[1].name: float(entry.value) for entry in group},
            notes=parse_notes(group[0].notes),
            revision=group[0].dataset_revision,
            status="merged" if revision.pull_request is None else "community",
            pull_request=revision.pull_request,
            uncertainties={config_and_number(entry)[1].name: _uncertainty(entry) for entry in group},
            date=None if group[0].date is None else str(group[0].date),
        )


def _uncertainty(entry: "EvalResultEntry") -> Uncertainty:
    """Interval and deviation in the notes of an entry, which anyone may write."""
    notes, value = parse_notes(entry.notes), float(entry.value)
    ends = _INTERVAL.fullmatch(notes.get("interval", ""))
    low, high = (float(ends[1]), float(ends[2])) if ends else (None, None)
    if low is None or high is None or not low <= value <= high:
        low = high = None
    deviation = _DEVIATION.fullmatch(notes.get("standard deviation", ""))
    return Uncertainty(low, high, float(deviation[0]) if deviation else None)


def _with_verification(
    merged: Sequence[Published], main: _Revision, known: frozenset[VerifiedNumber] | None
) -> tuple[list[Published], list[Fault]]:
    """Marks the results whose score the Hub has verified."""
    if not merged or known is None:
        return [*merged], []
    faults = []
    try:
        known |= verified_numbers(main.repo.id, main.dataset_id, main.names.today)
    except MlipOodError as cause:
        faults.append(main.fault("what the Hub verified", cause))
    return [
        replace(each, status="verified") if (number_id(each.config, SCORE), each.values.get("score")) in known else each
        for each in merged
    ], faults


def _same(first: Published, second: Published) -> bool:
    return (first.config, first.values, first.notes) == (second.config, second.values, second.notes)

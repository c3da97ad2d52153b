"""Sends results to the repos of their models: entries, `model-index` and a section of the card, in one commit."""

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.errors import SetupError, UsageError
from dataset_builders.hub import (
    MAIN,
    Change,
    CommitTarget,
    Committed,
    Message,
    Repo,
    commit,
    explained,
    head_of,
    is_logged_in,
    open_pull_requests,
    require_login,
)
from dataset_builders.markdown import printable
from harness.hub import Listing, list_files
from harness.models import parse_address
from harness.result import RunResult
from model_cards.card_edit import MAX_CARD_BYTES, card_with_results
from model_cards.consistency import without_contradictions
from model_cards.entries import (
    ENTRIES_PATH,
    PULL_REQUEST_TITLE,
    entries_of,
    eval_results_of,
    examine_entries,
    merge_entries,
)
from model_cards.front_matter import CARD_PATH, decode_text
from model_cards.hub_reading import read_file
from model_cards.ownership import User, logged_in_user
from model_cards.publishable import (
    find_model_files,
    hub_repo_of,
    pinned_model,
    require_benchmark,
    require_publishable,
)
from model_cards.results import protocol_text

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

_LOG: Final = logging.getLogger(__name__)

Route = Literal["own", "commit", "pull request"]
"""How results go: `own` is a commit to repos that one may write to, and a pull request to others."""

State = Literal["pushed", "unchanged", "dry run"]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What the user asked of a push.

    Attributes:
        repo: Where to; `None` for the repo that the model was read from.
        route: A commit or a pull request.
        dry_run: Whether to only show what would be sent.
    """

    repo: str | None = None
    route: Route = "own"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PushedRepo:
    """What became of one repo.

    Attributes:
        repo: Its id.
        state: Whether something was sent.
        url: Page of the commit or pull request, or of the repo.
        plan: Of a dry run: what would be sent, as a diff, and how.
        left_out: Which entries of others, that stay in the repo, the card does not show, and why.
    """

    repo: str
    state: State
    url: str
    plan: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the terminal."""
        notes = "".join(f"\n{self.repo}: not on the card, {printable(each)}" for each in self.left_out)
        if self.state == "dry run":
            return self.plan + notes.lstrip("\n")
        said = "unchanged, it holds these results already: " if self.state == "unchanged" else ""
        return f"{self.repo}: {said}{self.url}{notes}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of all repos, in the order of the results."""

    repos: tuple[PushedRepo, ...]


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What goes to one repo.

    Attributes:
        repo: The repo.
        results: Results that go there.
        entries: Their numbers for `.eval_results`.
        eval_results: Their numbers for the `model-index`.
    """

    repo: Repo
    results: tuple[RunResult, ...]
    entries: tuple["EvalResultEntry", ...]
    eval_results: tuple["EvalResult", ...]


@dataclass(frozen=True, slots=True)
class _Difference:
    """The files of a repo that a parcel changes, as they are at some commit and as they would be.

    Attributes:
        old: Text by path; `None` for a file that is not there.
        new: Text by path, of the files that change.
        left_out: Which entries of others the card does not show, and why.
    """

    old: Mapping[str, str | None]
    new: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def contents(self) -> dict[str, bytes]:
        """The changed files, for a commit."""
        return {path: text.encode() for path, text in self.new.items()}

    def diff(self) -> str:
        """As a unified diff."""
        return "".join(_diff(path, self.old[path], text) for path, text in self.new.items())


def push_results(results: Sequence[RunResult], options: PushOptions) -> Pushed:
    """Sends results to the repos of their models.

    Everything that can be refused is refused before anything is sent; then each repo gets one commit, or none where it
    holds the results already.

    Raises:
        UsageError: If a result cannot be published, or its repo is not known.
        DataError: If the data set is no benchmark, the repo does not exist, or its card cannot be added to.
        ModelError: If the repo holds other model files.
        IncompleteError: If a result is not whole.
        SetupError: If you are not logged in, or the Hub cannot be reached or refuses access.
    """
    return Pushed(tuple(push_each(results, options)))


def push_each(results: Sequence[RunResult], options: PushOptions) -> Iterator[PushedRepo]:
    """Does what `push_results` does, and tells of each repo as soon as it is done.

    Raises:
        MlipOodError: As `push_results` does.
    """
    if not options.dry_run:
        require_login("pushing")
    by_repo: dict[str, list[RunResult]] = {}
    for result in results:
        by_repo.setdefault(_target(result, options), []).append(result)
    for group in by_repo.values():
        require_publishable(group)
    user = logged_in_user(Repo(next(iter(by_repo)), "model")) if by_repo and is_logged_in() else None
    parcels = [_packed(Repo(repo_id, "model"), group) for repo_id, group in by_repo.items()]
    differences = [_difference_at(parcel, head_of(parcel.repo)) for parcel in parcels]
    if not options.dry_run:
        for question in _questions(results):
            _LOG.warning("%s", question)
    for parcel, difference in zip(parcels, differences, strict=True):
        yield _sent(parcel, difference, user, options)


def _questions(results: Sequence[RunResult]) -> list[str]:
    """What is asked about the training of models that say nothing of it."""
    asked = (result.model.question for result in results)
    return [printable(question) for question in dict.fromkeys(asked) if question is not None]


def _target(result: RunResult, options: PushOptions) -> str:
    found = options.repo or hub_repo_of(result)
    if found is None:
        raise UsageError(
            f"{result.model.id} was not read from the Hub, so its repo is not known; name it with --repo org/name"
        )
    address = parse_address(found)
    if address is None or address.repo.id != found:
        raise UsageError(f"--repo {found!r}; expected the id of a model repo on the Hub, org/name")
    return found


def _packed(repo: Repo, results: Sequence[RunResult]) -> _Parcel:
    head = list_files(repo, None)
    entries: list[EvalResultEntry] = []
    eval_results: list[EvalResult] = []
    for result in results:
        require_benchmark(result)
        find_model_files(result, head)
        entries += entries_of(result, pinned_model(result, head))
        eval_results += eval_results_of(result)
    return _Parcel(repo, tuple(results), tuple(entries), tuple(eval_results))


def _difference_at(parcel: _Parcel, head: str) -> _Difference:
    """What a parcel changes at a commit.

    Raises:
        DataError: If the card or the entries that are there cannot be added to.
    """
    listing = list_files(parcel.repo, head)
    old = {path: _text_at(listing, path) for path in (ENTRIES_PATH, CARD_PATH)}
    merged = merge_entries(old[ENTRIES_PATH], parcel.entries)
    examined = examine_entries(merged)
    consistent = without_contradictions(examined.entries)
    card = card_with_results(old[CARD_PATH], parcel.repo.id, parcel.eval_results, consistent.entries)
    new = {ENTRIES_PATH: merged, CARD_PATH: card}
    changed = {path: text for path, text in new.items() if text != old[path]}
    return _Difference(old, changed, (*examined.faults, *consistent.faults))


def _text_at(listing: Listing, path: str) -> str | None:
    if path not in listing.sha256:
        return None
    with explained(listing.repo, listing.commit):
        content = read_file(listing.repo, listing.commit, path, MAX_CARD_BYTES)
    return decode_text(content, f"{path} of {listing.repo}")


def _sent(parcel: _Parcel, difference: _Difference, user: User | None, options: PushOptions) -> PushedRepo:
    repo = parcel.repo
    if not difference.new:
        return PushedRepo(repo.id, "unchanged", repo.url, left_out=difference.left_out)
    is_direct = options.route == "commit" or (options.route == "own" and user is not None and user.owns(repo))
    number = None if is_direct or user is None else _own_pull_request(repo, user)
    if number is not None:
        difference = _difference_at(parcel, head_of(repo, f"refs/pr/{number}"))
        if not difference.new:
            url = f"{repo.url}/discussions/{number}"
            return PushedRepo(repo.id, "unchanged", url, left_out=difference.left_out)
    if options.dry_run or user is None:
        way = _way(user, number, options, is_direct=is_direct)
        questions = "".join(f"{repo.id}: question: {each}\n" for each in _questions(parcel.results))
        plan = f"{repo.id}: {way}; nothing was sent\n{difference.diff()}{questions}"
        return PushedRepo(repo.id, "dry run", repo.url, plan, difference.left_out)
    committed = _committed(parcel, user, number, is_direct=is_direct)
    state: State = "pushed" if committed.is_new else "unchanged"
    return PushedRepo(repo.id, state, committed.url, left_out=difference.left_out)


def _committed(parcel: _Parcel, user: User, number: int | None, *, is_direct: bool) -> Committed:
    repo, message = parcel.repo, _message(parcel)

    def change_at(head: str) -> Change:
        # What counts is the model on the branch that a pull request would be merged into, not on an older one.
        listing = list_files(repo, head if is_direct else MAIN)
        for result in parcel.results:
            find_model_files(result, listing)
        return Change(_difference_at(parcel, head).contents())

    if is_direct:
        return commit(CommitTarget(repo), change_at, message)
    if number is not None:
        return commit(CommitTarget(repo, f"refs/pr/{number}"), change_at, message)
    try:
        return commit(CommitTarget(repo, create_pr=True), change_at, message)
    except SetupError:
        # The Hub may have opened it although its answer was lost.
        number = _own_pull_request(repo, user)
        if number is None:
            raise
        return replace(commit(CommitTarget(repo, f"refs/pr/{number}"), change_at, message), is_new=True)


def _own_pull_request(repo: Repo, user: User) -> int | None:
    """Number of the open pull request in which this user sent results before."""
    return min(open_pull_requests(repo, PULL_REQUEST_TITLE, user.name), default=None)


def _message(parcel: _Parcel) -> Message:
    lines = [
        f"- {', '.join(sorted(result.tasks))} of {result.dataset.id} at {result.dataset.revision}, "
        f"protocol {protocol_text(result.model.protocol, result.model.training)}"
        for result in parcel.results
    ]
    body = [
        "Results on the mlip-ood benchmark, which measures potentials on unseen combinations of known parts:",
        "",
        *lines,
        "",
        f"The numbers are in `{ENTRIES_PATH}` and in the `model-index` of the card; a section of the card says what "
        "they mean and which command gives the same ones. Sent with `python -m harness push`.",
    ]
    return Message(PULL_REQUEST_TITLE, "\n".join(body))


def _way(user: User | None, number: int | None, options: PushOptions, *, is_direct: bool) -> str:
    """How a dry run says that the results would go."""
    if is_direct:
        return "would be one commit"
    if number is not None:
        return f"would be one commit in your open pull request {number}"
    if user is None and options.route == "own":
        return "would be one commit if the repo is yours, else a pull request (nobody is logged in)"
    return "would be a new pull request"


def _diff(path: str, old: str | None, new: str) -> str:
    lines = difflib.unified_diff(
        [] if old is None else old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        "/dev/null" if old is None else f"a/{path}",
        f"b/{path}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

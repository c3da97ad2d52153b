"""Retracts published results: entries, `model-index` and the section of the card, in one commit or pull request."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from dataset_builders.chemistry.levels import Level
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.access import canonical, head_of, is_logged_in, require_login
from dataset_builders.core.hub.commits import Change, Message
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.pull_requests import close_pull_request, open_pull_requests
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.markdown import printable
from harness.hub.download import Listing, list_files
from harness.models.resolve import parse_address
from harness.results.result import RunResult
from model_cards.cards.gap_picture import gap_picture
from model_cards.cards.section_picture import SECTION_PICTURE, is_picture_of_ours, shows
from model_cards.entries.entries import OWN_FILE, PULL_REQUEST_TITLE, RESULTS_FILE, pinned_commit
from model_cards.hub.bounded_reading import read_answer
from model_cards.hub.dataset_names import DatasetNames
from model_cards.hub.ownership import User, logged_in_user
from model_cards.publishing.publishable import hub_repo_of, with_current_ids
from model_cards.publishing.repo_change import Difference, Route, Way, picture_at, send, text_at, way_to
from model_cards.publishing.retraction import (
    Files,
    Retraction,
    holds_results,
    named_in,
    pushed_entries,
    retraction,
)
from model_cards.publishing.selection import Selection
from model_cards.text.front_matter import CARD_PATH

State = Literal["retracted", "unchanged", "dry run"]

RETRACTION_TITLE: Final = "Remove mlip-ood evaluation results"
MAX_PUSHES: Final = 20
"""Limit on earlier pushes, newest first, that are searched for the files as they were before."""
MAX_OTHER_FILES: Final = 20
"""Limit on result files by others that are searched for matching numbers."""
_MAX_COMMITS: Final = 1_000


@dataclass(frozen=True, slots=True)
class RetractOptions:
    """Options of a retraction.

    Attributes:
        repo: Repo to change; `None` for the repos that the models of the results were read from.
        route: Commit or pull request.
        dry_run: Whether to show the change without sending it.
        dataset: Only numbers on this data set, by any of its ids.
        tasks: Only numbers of these tasks; empty for all.
        level: Only numbers with labels of this level of theory.
    """

    repo: str | None = None
    route: Route = "own"
    dry_run: bool = False
    dataset: str | None = None
    tasks: tuple[str, ...] = ()
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class RetractedRepo:
    """The outcome for one place: a repo, or an open pull request in it.

    Attributes:
        repo: Its id.
        state: Whether a change was sent.
        url: Page of the commit or pull request, or of the repo.
        gone: Retracted results, one line for each configuration.
        left: Remaining benchmark results, with the reason.
        how: The action taken or planned, in a few words.
        plan: For a dry run: the change as a diff.
    """

    repo: str
    state: State
    url: str
    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    how: str = ""
    plan: str = ""

    @property
    def text(self) -> str:
        """Text for the terminal."""
        notes = [f"{self.repo}: left, {printable(each)}" for each in self.left]
        if self.state == "unchanged":
            return "\n".join([f"{self.repo}: nothing to retract{self.how}: {self.url}", *notes])
        if self.state == "dry run":
            head = f"{self.repo}: {self.how}; nothing was sent"
            return "\n".join([head, *self._removed("would be removed"), *notes, self.plan])
        return "\n".join([f"{self.repo}: {self.how}: {self.url}", *self._removed("removed"), *notes])

    def _removed(self, word: str) -> list[str]:
        return [f"{self.repo}: {word}, {printable(each)}" for each in self.gone]


@dataclass(frozen=True, slots=True)
class _Task:
    """The retraction from one repo.

    Attributes:
        repo: The repo.
        selection: The numbers to retract.
        names: Current ids of data sets.
        options: The user's options.
    """

    repo: Repo
    selection: Selection
    names: DatasetNames
    options: RetractOptions


def retract_each(results: Sequence[RunResult], options: RetractOptions) -> Iterator[RetractedRepo]:
    """Retracts results, and yields each place as soon as it is done.

    Repos with write access get one commit, all others a pull request. Open pull requests of the user that contain
    only these results are closed; from others the results are removed.

    Args:
        results: Evaluations to retract; empty for all that were pushed to the repo in the options.
        options: The repo, and filters for the numbers.

    Raises:
        UsageError: If there are neither results nor a repo, or a result was never published.
        DataError: If the repo does not exist, or a file in it cannot be changed at these places alone.
        SetupError: If you are not logged in, or the Hub cannot be reached or refuses access.
    """
    if not results and options.repo is None:
        raise UsageError("nothing to retract is given; expected run folders, or a repo with --repo org/name")
    if not options.dry_run:
        require_login("retracting")
    targets = [_target(result, options) for result in results] or [_checked_id(str(options.repo))]
    user = logged_in_user(Repo(targets[0], "model")) if is_logged_in() else None
    tasks = _tasks(results, targets, options)
    mains = [_main_of(task) for task in tasks]
    for task, (difference, found) in zip(tasks, mains, strict=True):
        yield from _from_main(task, difference, found, user)


def _tasks(results: Sequence[RunResult], targets: Sequence[str], options: RetractOptions) -> list[_Task]:
    """The retraction from each repo, with current ids throughout."""
    today = functools.cache(_canonical_or_given)
    by_repo: dict[Repo, list[RunResult]] = {canonical(Repo(target, "model")): [] for target in dict.fromkeys(targets)}
    for target, result in zip(targets, results, strict=False):
        by_repo[canonical(Repo(target, "model"))].append(with_current_ids(result, today))
    dataset = None if options.dataset is None else today(Repo(options.dataset, "dataset")).id
    tasks = []
    for repo, group in by_repo.items():
        answers = {each.dataset.id: each.dataset.id for each in group}
        answers |= {} if dataset is None or options.dataset is None else {options.dataset: dataset, dataset: dataset}
        selection = Selection(dataset, options.tasks, options.level, tuple(group))
        tasks.append(_Task(repo, selection, DatasetNames(answers), options))
    return tasks


def _canonical_or_given(repo: Repo) -> Repo:
    """A repo under its current id. A deleted repo keeps the given id, so that its numbers can be retracted too."""
    try:
        return canonical(repo)
    except DataError:
        return repo


def _target(result: RunResult, options: RetractOptions) -> str:
    pinned_commit(result.dataset)
    found = options.repo or hub_repo_of(result)
    if found is None:
        raise UsageError(
            f"{result.model.id} was not loaded from the Hub, so its repo is unknown; give it with --repo org/name"
        )
    return _checked_id(found)


def _checked_id(repo_id: str) -> str:
    address = parse_address(repo_id)
    if address is None or address.repo.id != repo_id:
        raise UsageError(f"--repo {repo_id!r}; expected the id of a model repo on the Hub, org/name")
    return repo_id


def _files_at(repo: Repo, commit: str) -> Files:
    listing = list_files(repo, commit)
    own = sorted(path for path in listing.sha256 if OWN_FILE.fullmatch(path))
    entries = {path: text for path in own if (text := text_at(listing, path)) is not None}
    return Files(entries, text_at(listing, CARD_PATH))


def _difference_at(task: _Task, head: str) -> tuple[Difference, Retraction]:
    """The retraction at a commit.

    Raises:
        DataError: If a file cannot be changed.
    """
    files = _files_at(task.repo, head)
    found = retraction(
        files, task.repo.id, task.selection, task.names.today, lambda: _files_before_a_push(task.repo, head)
    )
    old: dict[str, str | None] = {**files.entries, CARD_PATH: files.card}
    new = {path: found.files.entries.get(path) for path in files.entries} | {CARD_PATH: found.files.card}
    changed = {path: text for path, text in new.items() if text != old[path]}
    pictures = _pictures(list_files(task.repo, head), found)
    return Difference(old, changed, pictures=pictures), replace(found, left=(*found.left, *task.names.faults))


def _pictures(listing: Listing, found: Retraction) -> Mapping[str, bytes | None]:
    """The picture of the section, drawn from the remaining numbers or removed; that of others stays."""
    if found.panels is None:
        return {}
    present = picture_at(listing, SECTION_PICTURE)
    if present is None or not is_picture_of_ours(present) or (found.panels and shows(present, found.panels)):
        return {}
    return {SECTION_PICTURE: gap_picture(found.panels) if found.panels else None}


def _main_of(task: _Task) -> tuple[Difference, Retraction]:
    """The retraction on the main branch, and matching numbers in files that no push writes."""
    head = head_of(task.repo)
    difference, found = _difference_at(task, head)
    listing = list_files(task.repo, head)
    others = [path for path in sorted(listing.sha256) if RESULTS_FILE.fullmatch(path) and not OWN_FILE.fullmatch(path)]
    lines: list[str] = []
    for path in others[:MAX_OTHER_FILES]:
        try:
            named = named_in(text_at(listing, path), task.selection, task.names.today)
        except DataError as cause:
            lines.append(f"{path}, which cannot be read: {cause}")
            continue
        lines += [f"{line}: in {path}, which is not a file that push writes" for line in named]
    return difference, replace(found, left=(*found.left, *lines))


def _files_before_a_push(repo: Repo, head: str) -> Files | None:
    """The files before the present results were pushed; `None` if the history does not show it."""
    with explained(repo, head):
        answer = read_answer(
            f"/api/models/{repo.id}/commits/{head}", {"limit": str(_MAX_COMMITS)}, f"the history of {repo}"
        )
    commits = [each for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []
    parents = [
        older
        for later, older in itertools.pairwise(commits)
        if str(later.get("title", "")).startswith(PULL_REQUEST_TITLE)
    ]
    for parent in parents[:MAX_PUSHES]:
        found = _files_or_none(repo, parent)
        if found is not None and not holds_results(found):
            return found
    return None


def _files_or_none(repo: Repo, commit: dict[str, Any]) -> Files | None:
    try:
        return _files_at(repo, str(commit.get("id")))
    except DataError:
        return None


def _from_main(task: _Task, main: Difference, found: Retraction, user: User | None) -> Iterator[RetractedRepo]:
    """The outcome for the main branch and for open pull requests of the user."""
    numbers = [] if user is None else sorted(open_pull_requests(task.repo, PULL_REQUEST_TITLE, user.name))
    if main:
        yield _from_branch(task, main, found, user)
    old = Files(
        {path: text for path, text in main.old.items() if text is not None and path != CARD_PATH}, main.old[CARD_PATH]
    )
    in_pull_requests = (_from_pull_request(task, number, old) for number in numbers)
    done = [each for each in in_pull_requests if each is not None]
    yield from done
    if not main and not done:
        yield _from_branch(task, main, found, user)


def _from_branch(task: _Task, main: Difference, found: Retraction, user: User | None) -> RetractedRepo:
    repo, options = task.repo, task.options
    if not main:
        return RetractedRepo(repo.id, "unchanged", repo.url, left=found.left)
    way = way_to(repo, user, options.route, RETRACTION_TITLE)
    if way.pull_request is not None:
        main, found = _difference_at(task, head_of(repo, way.revision))
        if not main:
            how = f", your open pull request {way.pull_request} already removes it"
            return RetractedRepo(repo.id, "unchanged", way.url, left=found.left, how=how)
    if options.dry_run or user is None:
        return RetractedRepo(repo.id, "dry run", repo.url, found.gone, found.left, way.text(options.route), main.diff())
    committed = send(way, _change(task), _message(found))
    how = "retracted" if committed.pull_request is None else "retraction is a pull request, for the owner to merge"
    return RetractedRepo(repo.id, "retracted", committed.url, found.gone, found.left, how)


def _from_pull_request(task: _Task, number: int, main: Files) -> RetractedRepo | None:
    """Removes results from an open pull request of the user, or closes it if it contains nothing else."""
    repo, revision = task.repo, f"refs/pr/{number}"
    way = Way(repo, None, is_direct=False, title=PULL_REQUEST_TITLE, pull_request=number)
    difference, found = _difference_at(task, head_of(repo, revision))
    if not difference:
        return None
    merged = pushed_entries(main)
    is_empty = all(each in merged for each in pushed_entries(found.files))
    if task.options.dry_run:
        how = f"would {'close' if is_empty else 'be one commit in'} your open pull request {number}"
        return RetractedRepo(
            repo.id, "dry run", way.url, found.gone, found.left, how, "" if is_empty else difference.diff()
        )
    if is_empty:
        close_pull_request(repo, number, _message(found).body)
        return RetractedRepo(repo.id, "retracted", way.url, found.gone, (), f"closed your pull request {number}")
    send(way, _change(task), _message(found))
    how = f"amended your pull request {number}"
    return RetractedRepo(repo.id, "retracted", way.url, found.gone, found.left, how)


def _change(task: _Task) -> Callable[[str], Change]:
    def change_at(head: str) -> Change:
        return _difference_at(task, head)[0].change()

    return change_at


def _message(found: Retraction) -> Message:
    body = [
        "Retracts results on the mlip-ood benchmark that were pushed before:",
        "",
        *(f"- {line}" for line in found.gone),
        "",
        "Sent with `python -m harness retract`.",
    ]
    return Message(RETRACTION_TITLE, "\n".join(body))

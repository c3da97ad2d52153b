"""Pushes results to the repos of their models: entries, `model-index` and a section of the card, in one commit."""

import functools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.access import canonical, head_of, is_logged_in, require_login
from dataset_builders.core.hub.commits import Change, Message
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.markdown import printable
from dataset_builders.tasks.editions import edition_note
from harness.hub.download import Listing, list_files
from harness.models.resolve import parse_address
from harness.results.result import RunResult
from model_cards.cards.edit import card_with_results
from model_cards.cards.gap_picture import Panel, gap_picture
from model_cards.cards.result_tables import protocol_text
from model_cards.cards.section import section_text
from model_cards.cards.section_picture import SECTION_PICTURE, is_picture_of_ours, section_panels, shows
from model_cards.entries.consistency import without_contradictions
from model_cards.entries.entries import (
    ENTRIES_PATH,
    OWN_FILE,
    PULL_REQUEST_TITLE,
    entries_of,
    entries_path,
    eval_results_of,
    examine_entries,
    merge_entries,
)
from model_cards.entries.notes import edition_in
from model_cards.entries.verification import refused_files
from model_cards.hub.dataset_names import DatasetNames
from model_cards.hub.ownership import User, logged_in_user
from model_cards.publishing.publishable import (
    find_model_files,
    hub_repo_of,
    pinned_model,
    require_benchmark,
    require_publishable,
    with_current_ids,
)
from model_cards.publishing.repo_change import Difference, Route, picture_at, send, text_at, way_to
from model_cards.publishing.trace import Trace, TraceRequest, prepared_trace, require_results_repo, send_trace
from model_cards.text.front_matter import CARD_PATH

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

_LOG: Final = logging.getLogger(__name__)

_FOLDER: Final = ENTRIES_PATH.rpartition("/")[0]

State = Literal["pushed", "unchanged", "dry run"]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """Options of a push.

    Attributes:
        repo: Target repo; `None` for the repo that the model was read from.
        route: Commit or pull request.
        dry_run: Whether to show the change without sending it.
        results_repo: Data-set repo that receives the traces of the results; `None` for none.
    """

    repo: str | None = None
    route: Route = "own"
    dry_run: bool = False
    results_repo: str | None = None


@dataclass(frozen=True, slots=True)
class PushedRepo:
    """The outcome for one repo.

    Attributes:
        repo: Its id.
        state: Whether a change was sent.
        url: Page of the commit or pull request, or of the repo.
        plan: For a dry run: the change as a diff, and its route.
        left_out: Entries by others that remain in the repo but are not on the card, with the reason.
        notes: Further information, such as what an edition is for.
        pull_request: Number of the pull request that holds the results; `None` for a commit on the main branch.
        refused: Files of entries of this benchmark that the Hub refuses, with its reason, one line each.
    """

    repo: str
    state: State
    url: str
    plan: str = ""
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pull_request: int | None = None
    refused: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Text for the terminal."""
        said = [*self.notes, *(f"not on the card, {printable(each)}" for each in self.left_out)]
        notes = "".join(f"\n{self.repo}: {each}" for each in said)
        if self.state == "dry run":
            return self.plan + notes.lstrip("\n")
        state = "unchanged, it already contains these results: " if self.state == "unchanged" else ""
        return f"{self.repo}: {state}{self.url}{notes}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """The outcome for all repos, in the order of the results."""

    repos: tuple[PushedRepo, ...]


@dataclass(frozen=True, slots=True)
class _Parcel:
    """The content of the push to one repo.

    Attributes:
        repo: The repo.
        results: Results to publish there.
        entries: Their numbers for `.eval_results`.
        eval_results: Their numbers for the `model-index`.
        names: Current ids of the data sets of entries in the repo.
        traces: Their traces, if they are published.
    """

    repo: Repo
    results: tuple[RunResult, ...]
    entries: tuple["EvalResultEntry", ...]
    eval_results: tuple["EvalResult", ...]
    names: DatasetNames
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True, slots=True)
class _Finished:
    """A result, and the folder of its run or method where its trace is published."""

    result: RunResult
    run: Path | None = None


def push_results(results: Sequence[RunResult], options: PushOptions, runs: Sequence[Path] = ()) -> Pushed:
    """Pushes results to the repos of their models.

    All checks run before anything is sent. Then each repo gets one commit, or none if it already has
    the results. Traces are sent first, so that no entry names a source that does not exist.

    Args:
        results: The results.
        options: Options of the push.
        runs: With `results_repo`, the folder of the run or method of each result.

    Raises:
        UsageError: If a result cannot be published, or its repo is unknown.
        DataError: If the data set is not a benchmark, the repo does not exist, or its card cannot be extended.
        ModelError: If the repo has other model files.
        IncompleteError: If a result is incomplete.
        SetupError: If you are not logged in, or the Hub cannot be reached or refuses access.
    """
    return Pushed(tuple(push_each(results, options, runs)))


def push_each(results: Sequence[RunResult], options: PushOptions, runs: Sequence[Path] = ()) -> Iterator[PushedRepo]:
    """Like `push_results`, but yields each repo as soon as it is done.

    Raises:
        MlipOodError: As `push_results` does, and after the last repo if the Hub accepted a commit but refuses a file of
            entries in it.
    """
    if not options.dry_run:
        require_login("pushing")
    finished = _with_runs(results, options, runs)
    for group in _by_repo((_target(each.result, options), each) for each in finished).values():
        require_publishable([each.result for each in group])
    user = logged_in_user(Repo(_target(results[0], options), "model")) if results and is_logged_in() else None
    # Repos may have been renamed since the evaluation; published results use the current ids.
    today = functools.cache(canonical)
    by_repo = _by_repo(
        (
            today(Repo(_target(each.result, options), "model")).id,
            replace(each, result=with_current_ids(each.result, today)),
        )
        for each in finished
    )
    for group in by_repo.values():
        require_publishable([each.result for each in group])
    refused: list[str] = []
    with ExitStack() as stack:
        parcels = [_packed(Repo(repo_id, "model"), group, options, user, stack) for repo_id, group in by_repo.items()]
        differences = [_difference_at(parcel, head_of(parcel.repo)) for parcel in parcels]
        if not options.dry_run:
            for question in _questions(results):
                _LOG.warning("%s", question)
        for parcel, difference in zip(parcels, differences, strict=True):
            done = _with_notes(_sent(parcel, difference, user, options), parcel)
            refused += done.refused
            yield done
    if refused:
        raise DataError(
            "the Hub shows none of the numbers in a file that it refuses:\n"
            + "\n".join(refused)
            + "\nCorrect the entry that it names, or remove the file, and push again"
        )


def _with_runs(results: Sequence[RunResult], options: PushOptions, runs: Sequence[Path]) -> list[_Finished]:
    """The results with their folders, which are needed for traces only."""
    if options.results_repo is None:
        return [_Finished(result) for result in results]
    if len(runs) != len(results):
        raise UsageError(
            f"a results repo receives the predictions too, but {len(runs)} folders of runs were given for "
            f"{len(results)} results; give the folder of each run"
        )
    return [_Finished(result, run if run.is_dir() else run.parent) for result, run in zip(results, runs, strict=True)]


def _with_notes(done: PushedRepo, parcel: _Parcel) -> PushedRepo:
    editions = dict.fromkeys(result.dataset.edition for result in parcel.results)
    notes = [note for each in editions if (note := edition_note(each)) is not None]
    if done.state == "dry run":
        notes += [f"{each.repo.id} would receive the trace {each.text}" for each in parcel.traces]
        return replace(done, notes=tuple(notes))
    notes += [f"trace: {each.source.url}" for each in parcel.traces]
    refused = refused_files(parcel.repo, done.pull_request)
    notes += [
        f"the Hub refuses {path}, a file of others: {why}" for path, why in refused if not OWN_FILE.fullmatch(path)
    ]
    own = tuple(f"{done.repo}: {path}: {why}" for path, why in refused if OWN_FILE.fullmatch(path))
    return replace(done, notes=tuple(notes), refused=own)


def _by_repo(finished: Iterable[tuple[str, _Finished]]) -> dict[str, list[_Finished]]:
    by_repo: dict[str, list[_Finished]] = {}
    for repo_id, each in finished:
        by_repo.setdefault(repo_id, []).append(each)
    return by_repo


def _questions(results: Sequence[RunResult]) -> list[str]:
    """Questions about the training of models that do not state it."""
    asked = (result.model.question for result in results)
    return [printable(question) for question in dict.fromkeys(asked) if question is not None]


def _target(result: RunResult, options: PushOptions) -> str:
    found = options.repo or hub_repo_of(result)
    if found is None:
        raise UsageError(
            f"{result.model.id} was not loaded from the Hub, so its repo is unknown; give it with --repo org/name"
        )
    address = parse_address(found)
    if address is None or address.repo.id != found:
        raise UsageError(f"--repo {found!r}; expected the id of a model repo on the Hub, org/name")
    return found


def _packed(
    repo: Repo, finished: Sequence[_Finished], options: PushOptions, user: User | None, stack: ExitStack
) -> _Parcel:
    """All that goes to one repo; the folders of traces are removed with the stack."""
    head = list_files(repo, None)
    entries: list[EvalResultEntry] = []
    eval_results: list[EvalResult] = []
    traces: list[Trace] = []
    for each in finished:
        require_benchmark(each.result)
        find_model_files(each.result, head)
        model, source = pinned_model(each.result, head), None
        if options.results_repo is not None and each.run is not None:
            of_results = require_results_repo(options.results_repo, user, [each.result.dataset.id])
            request = TraceRequest(each.run, each.result, model, head)
            traces.append(stack.enter_context(prepared_trace(request, of_results, user)))
            source = traces[-1].source
        entries += entries_of(each.result, model, source)
        eval_results += eval_results_of(each.result, source)
    results = tuple(each.result for each in finished)
    names = DatasetNames({result.dataset.id: result.dataset.id for result in results})
    return _Parcel(repo, results, tuple(entries), tuple(eval_results), names, tuple(traces))


def _difference_at(parcel: _Parcel, head: str) -> Difference:
    """The changes of a parcel at a commit.

    Raises:
        DataError: If the present card or entries cannot be extended.
    """
    listing = list_files(parcel.repo, head)
    by_path: dict[str, list[EvalResultEntry]] = {}
    for entry in parcel.entries:
        by_path.setdefault(entries_path(edition_in(entry.notes)), []).append(entry)
    present = [path for path in listing.sha256 if OWN_FILE.fullmatch(path)]
    # The edition that ranks comes first on the card.
    paths = sorted({*by_path, *present}, key=lambda path: (path != ENTRIES_PATH, path))
    old = {path: text_at(listing, path) for path in (*paths, CARD_PATH)}
    today = parcel.names.today
    new: dict[str, str | None] = {
        path: merge_entries(old[path], by_path[path], today) if path in by_path else old[path] for path in paths
    }
    examined = [examine_entries(new[path] or "", path, today=today) for path in paths]
    consistent = without_contradictions([entry for each in examined for entry in each.entries])
    panels, pictures = _picture(listing, consistent.entries)
    section = section_text(consistent.entries, panels)
    new[CARD_PATH] = card_with_results(old[CARD_PATH], parcel.repo.id, parcel.eval_results, section, today)
    changed = {path: text for path, text in new.items() if text != old[path]}
    faults = [fault for each in examined for fault in each.faults]
    return Difference(old, changed, (*faults, *consistent.faults, *parcel.names.faults), pictures)


def _picture(
    listing: Listing, entries: Sequence["EvalResultEntry"]
) -> tuple[tuple[Panel, ...], Mapping[str, bytes | None]]:
    """The panels that the section shows, and the picture if the repo lacks it.

    A file of others with the same name stays, and the section shows no picture.
    """
    panels = section_panels(entries)
    present = picture_at(listing, SECTION_PICTURE)
    if present is not None and not is_picture_of_ours(present):
        return (), {}
    if not panels:
        return (), {} if present is None else {SECTION_PICTURE: None}
    return panels, {} if present is not None and shows(present, panels) else {SECTION_PICTURE: gap_picture(panels)}


def _sent(parcel: _Parcel, difference: Difference, user: User | None, options: PushOptions) -> PushedRepo:
    repo = parcel.repo
    if not options.dry_run and user is not None:
        for trace in parcel.traces:
            send_trace(trace)
    if not difference:
        return PushedRepo(repo.id, "unchanged", repo.url, left_out=difference.left_out)
    way = way_to(repo, user, options.route, PULL_REQUEST_TITLE)
    if way.pull_request is not None:
        difference = _difference_at(parcel, head_of(repo, way.revision))
        if not difference:
            return PushedRepo(
                repo.id, "unchanged", way.url, left_out=difference.left_out, pull_request=way.pull_request
            )
    if options.dry_run or user is None:
        questions = "".join(f"{repo.id}: question: {each}\n" for each in _questions(parcel.results))
        plan = f"{repo.id}: {way.text(options.route)}; nothing was sent\n{difference.diff()}{questions}"
        return PushedRepo(repo.id, "dry run", repo.url, plan, difference.left_out)

    def change_at(head: str) -> Change:
        # The relevant model is the one on the target branch of a pull request, not on an older one.
        listing = list_files(repo, head if way.is_direct else MAIN)
        for result in parcel.results:
            find_model_files(result, listing)
        return _difference_at(parcel, head).change()

    committed = send(way, change_at, _message(parcel))
    state: State = "pushed" if committed.is_new else "unchanged"
    return PushedRepo(repo.id, state, committed.url, left_out=difference.left_out, pull_request=committed.pull_request)


def _message(parcel: _Parcel) -> Message:
    lines = [
        f"- {', '.join(sorted(result.tasks))} of {result.dataset.id} at {result.dataset.revision}, edition "
        f"{result.dataset.edition}, "
        f"protocol {protocol_text(result.model.protocol, result.model.training)}"
        for result in parcel.results
    ]
    body = [
        "Results on the mlip-ood benchmark, which evaluates interatomic potentials on unseen combinations of known "
        "molecular parts:",
        "",
        *lines,
        "",
        f"The scores are in `{_FOLDER}`, all numbers in the `model-index` of the card; a section of the card explains "
        "them, with a picture of the gap, and gives the command that reproduces them. Sent with `python -m harness "
        "push`.",
    ]
    return Message(PULL_REQUEST_TITLE, "\n".join(body))

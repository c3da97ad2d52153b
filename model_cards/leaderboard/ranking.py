"""Reads and ranks the published results of the benchmark.

The Hub's own leaderboard of a data set shows one number. This module reads all numbers from the `.eval_results`
files of the model repos, so it also works before the Hub has a leaderboard. Anyone may write such files and open
pull requests, so their content is checked (`model_cards.leaderboard.published`) before it is ranked.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataset_builders.chemistry.levels import GFN2, LEVELS, Level
from dataset_builders.core.errors import DataError, MlipOodError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.access import canonical
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.folder.configs import level_of_config, task_of_config
from dataset_builders.tasks.editions import UNKNOWN_EDITION, edition_order
from dataset_builders.tasks.regions import TASKS, in_order
from model_cards.entries.entries import BENCHMARK_TAG
from model_cards.entries.notes import EDITION
from model_cards.entries.verification import Board, VerifiedNumber, read_board
from model_cards.hub.dataset_names import DatasetNames
from model_cards.leaderboard.data_on_hub import DataOnHub, DataState, earlier_states, state_of, state_on_hub
from model_cards.leaderboard.published import Fault, Published, Status, published_by, seeds_of
from model_cards.publishing.publishable import declared_ids


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place in a ranking.

    Attributes:
        rank: From 1.
        published: The published results.
    """

    rank: int
    published: Published


@dataclass(frozen=True, slots=True)
class Overall:
    """The mean score of a model with published results on all four tasks.

    Attributes:
        rank: From 1.
        model_id: Repo of the model.
        protocol: Protocol of its results.
        score: Mean of the four scores.
        status: The weakest status of the four.
        pull_request: Number of their pull request, if they are in one.
        is_stated: Whether training on the task is only stated, not proved, for at least one of them.
        seeds: For a method, the number of seeds averaged per task, or the smallest and largest number; empty for
            a single model or if not stated.
    """

    rank: int
    model_id: str
    protocol: str
    score: float
    status: Status
    pull_request: int | None = None
    is_stated: bool = False
    seeds: str = ""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All published results on one edition: on one state of the data.

    Attributes:
        dataset_id: The data set.
        edition: The edition.
        commit: Commit of the data set; empty where it is not known.
        content_hash: Hash of the data at that commit and level.
        labels: Name of the level of theory of the labels.
        by_config: Ranking of each configuration, best first, of results merged by the owners of the models.
        overall: The ranking by mean score.
        community: Ranking of each configuration of results in open pull requests, which anyone may open.
        community_overall: The ranking by mean score of pull requests with all four tasks.
        elsewhere: Results on other data of the edition, or on data that are not known, which are not ranked.
        other_editions: Number of models with results on each other edition, which has a ranking of its own.
        faults: Excluded results of a model, with the reason.
        unread: The reason why a model could not be read, by model.
    """

    dataset_id: str
    edition: str
    commit: str
    content_hash: str
    labels: str
    by_config: Mapping[str, tuple[Ranked, ...]] = field(default_factory=dict)
    overall: tuple[Overall, ...] = ()
    community: Mapping[str, tuple[Ranked, ...]] = field(default_factory=dict)
    community_overall: tuple[Overall, ...] = ()
    elsewhere: tuple[Published, ...] = ()
    other_editions: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


def read_leaderboard(
    dataset_id: str,
    revision: str | None = None,
    models: Sequence[str] = (),
    level: Level = GFN2,
    edition: str | None = None,
) -> Leaderboard:
    """Collects and ranks the results that model repos have published.

    Models are found through the Hub's leaderboard of the data set if there is one, through the tag
    that a push adds to the card, and by name. A fault in one file, pull request or model is listed and
    does not affect the others.

    Args:
        dataset_id: Hub id of the data set.
        revision: Revision on which results must have been measured; `None` for any commit of the main branch.
        models: Further model repos to read.
        level: Level of theory of the labels; results at other levels are ignored.
        edition: Edition to rank, or `UNKNOWN_EDITION` for results on data that the data set does not hold; `None` for
            the one that ranks best among those with results.

    Raises:
        UsageError: If there are no data or results of the requested edition.
        DataError: If the data set or the revision does not exist, or it has no data at the level.
        SetupError: If the Hub cannot be reached.
    """
    dataset_id = canonical(Repo(dataset_id, "dataset")).id
    head = state_on_hub(dataset_id, revision, level)
    read = _results_on(dataset_id, models)
    at_level = _at_level(dataset_id, revision, head, level, read)
    return _board(at_level, _chosen(edition, at_level.measured, head))


def read_every_leaderboard(
    dataset_id: str, revision: str | None = None, models: Sequence[str] = ()
) -> tuple[Leaderboard, ...]:
    """As `read_leaderboard`, for every level of theory of the data set and every edition with results.

    Each model is read once. Faults and unread models are the same in all rankings of a level.

    Returns:
        By level of theory, then by edition, the one that ranks best first. A level without results has the ranking of
        the edition of the data set, which is empty.

    Raises:
        DataError: If the data set or the revision does not exist, or it has no data at any level.
        SetupError: If the Hub cannot be reached.
    """
    dataset_id = canonical(Repo(dataset_id, "dataset")).id
    heads: dict[str, DataState] = {}
    missing: list[DataError] = []
    for level in LEVELS.values():
        try:
            heads[level.name] = state_on_hub(dataset_id, revision, level)
        except DataError as cause:
            missing.append(cause)
    if not heads:
        raise missing[0]
    read = _results_on(dataset_id, models)
    boards = []
    for level in (level for level in LEVELS.values() if level.name in heads):
        at_level = _at_level(dataset_id, revision, heads[level.name], level, read)
        editions = _best_first(_edition(state) for _, state in at_level.measured)
        boards += [_board(at_level, edition) for edition in editions or [heads[level.name].edition]]
    return tuple(boards)


_Read = tuple[list[Published], list[Fault], dict[str, str]]
"""All published results, faults in them, and the reason why some models were not read."""


@dataclass(frozen=True, slots=True)
class _AtLevel:
    """The published results at a level of theory, the states of their data, and a ranking with the faults alone."""

    states: Sequence[DataState]
    measured: "Sequence[_Measured]"
    empty: Leaderboard


def _at_level(dataset_id: str, revision: str | None, head: DataState, level: Level, read: _Read) -> _AtLevel:
    found, faults, unread = read
    found = [each for each in found if level_of_config(each.config) == level]
    states = [head]
    if revision is None:
        content = head.data.content_hash[:SHORT_HASH]
        stated = {each.revision for each in found if each.notes.get("content") != content} - {head.data.commit}
        states += earlier_states(dataset_id, stated, level)
    measured, wrong = _by_state(found, states)
    empty = Leaderboard(dataset_id, "", "", "", level.name, faults=(*faults, *wrong), unread=unread)
    return _AtLevel(states, measured, empty)


def _board(at_level: _AtLevel, edition: str) -> Leaderboard:
    measured = at_level.measured
    state = next((each for each in at_level.states if each.edition == edition), None) or _unknown_state(measured)
    empty = replace(
        at_level.empty,
        edition=edition,
        commit=state.data.commit,
        content_hash=state.data.content_hash,
        other_editions=_others(measured, edition),
    )
    return _ranked(empty, measured, state)


def _results_on(dataset_id: str, models: Sequence[str]) -> _Read:
    """All published results on a data set, faults in them, and the reason why some models were not read."""
    board = read_board(dataset_id)
    found: list[Published] = []
    faults: list[Fault] = []
    ids, unread = _models_of_today([*models, *(row.model_id for row in board.rows)])
    on_board = _verified_on(board, dataset_id, ids)
    names = DatasetNames({dataset_id: dataset_id})
    for model_id in sorted({*ids.values()}):
        try:
            verified = on_board.get(model_id, frozenset()) if board.is_there else None
            of_model = published_by(model_id, dataset_id, verified, names)
        except MlipOodError as cause:
            unread[model_id] = str(cause)
            continue
        found.extend(of_model.results)
        faults.extend(of_model.faults)
    return found, faults, unread


_Measured = tuple[Published, DataState | None]
"""A result with the state of the data that it was measured on; `None` if that is not known."""


def _by_state(found: Sequence[Published], states: Sequence[DataState]) -> tuple[list[_Measured], list[Fault]]:
    """The results with their data; those that name another edition than that of their data are faults."""
    measured: list[_Measured] = []
    faults: list[Fault] = []
    for each in found:
        state, said = state_of(each.notes.get("content"), each.revision, states), each.notes.get(EDITION)
        if state is not None and said not in (None, state.edition):
            place = "" if each.pull_request is None else f"pull request {each.pull_request}"
            cause = f"{each.config}: it names the edition {said}, and its data are {state.edition}"
            faults.append(Fault(each.model_id, place, cause))
        else:
            measured.append((each, state))
    return measured, faults


def _chosen(wanted: str | None, measured: Sequence[_Measured], head: DataState) -> str:
    """The edition to rank: the requested one, else the best with results, else that of the data set.

    Open pull requests, which anyone may write, decide only where no result is merged.
    """
    with_results = _best_first(_edition(state) for _, state in measured)
    if wanted is None:
        merged = _best_first(_edition(state) for each, state in measured if each.status != "community")
        return next((edition for edition in (*merged, *with_results) if edition != UNKNOWN_EDITION), head.edition)
    if wanted not in (*with_results, head.edition):
        listed = ", ".join(with_results) or "none"
        raise UsageError(
            f"there is no result on the edition {wanted!r}; the data set at {head.data.commit[:SHORT_HASH]} is "
            f"{head.edition}, and editions with results are: {listed}. Choose one of them with --edition"
        )
    return wanted


def _best_first(editions: Iterable[str]) -> list[str]:
    return sorted({*editions}, key=edition_order, reverse=True)


def _edition(state: DataState | None) -> str:
    return UNKNOWN_EDITION if state is None else state.edition


def _unknown_state(measured: Sequence[_Measured]) -> DataState:
    """The unknown data with the most results; nothing but the first digits of their content hash is known."""
    contents = Counter(each.notes.get("content", "") for each, state in measured if state is None)
    content = min(contents, key=lambda content: (-contents[content], content), default="")
    configs = in_order(each.config for each, _ in measured)
    return DataState(DataOnHub("", content, configs), UNKNOWN_EDITION)


def _others(measured: Sequence[_Measured], edition: str) -> dict[str, int]:
    """The number of models with results on each other edition, best edition first."""
    models: dict[str, set[str]] = {}
    for each, state in measured:
        models.setdefault(_edition(state), set()).add(each.model_id)
    return {name: len(models[name]) for name in _best_first(models.keys() - {edition})}


def _tagged_models() -> list[str]:
    from huggingface_hub import HfApi

    with explained(Repo(BENCHMARK_TAG, "model")):
        return [model.id for model in retried(lambda: list(HfApi().list_models(filter=BENCHMARK_TAG)))]


def _models_of_today(named: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tagged or named models: their current ids by the ids in use, and the reason why some have none."""
    ids = {model_id: model_id for model_id in _tagged_models()}
    unread = {}
    for model_id in sorted({*named} - {*ids}):
        try:
            ids[model_id] = canonical(Repo(model_id, "model")).id
        except MlipOodError as cause:
            unread[model_id] = str(cause)
    return ids, unread


def _verified_on(board: Board, dataset_id: str, ids: Mapping[str, str]) -> dict[str, frozenset[VerifiedNumber]]:
    """The numbers that the Hub marks as verified, by model; each belongs to the first task id of the data set."""
    rows = [row for row in board.rows if row.verified and row.pull_request is None]
    if not rows:
        return {}
    try:
        first = declared_ids(Repo(dataset_id, "dataset"), MAIN)[:1]
    except DataError:
        return {}
    return {
        ids[row.model_id]: frozenset((task_id, row.value) for task_id in first) for row in rows if row.model_id in ids
    }


def _ranked(empty: Leaderboard, measured: Sequence[_Measured], state: DataState) -> Leaderboard:
    content = state.data.content_hash[:SHORT_HASH]
    here = [
        each
        for each, own in measured
        if each.config in state.data.configs
        and (own is not None or state.edition == UNKNOWN_EDITION)
        and (content == each.notes.get("content", "") if own is None else own.data.content_hash[:SHORT_HASH] == content)
    ]
    merged = [each for each in here if each.status != "community"]
    community = [each for each in here if each.status == "community"]
    return replace(
        empty,
        by_config=_by_config(merged),
        overall=_overall(merged),
        community=_by_config(community),
        community_overall=_overall(community),
        elsewhere=tuple(
            each for each, own in measured if each not in here and (own is None or own.edition == empty.edition)
        ),
    )


def _by_config(results: Sequence[Published]) -> dict[str, tuple[Ranked, ...]]:
    return {
        config: tuple(Ranked(place, each) for place, each in enumerate(sorted(group, key=_merit), start=1))
        for config in in_order(each.config for each in results)
        if (group := [each for each in results if each.config == config and "score" in each.values])
    }


def _merit(published: Published) -> tuple[float, float, str, int]:
    """Sort key, best first; equal scores (0 or 100) are sorted by the OOD error, if known."""
    error = published.values.get("ood_force_mae", math.inf)
    return (-published.values["score"], error, published.model_id, published.pull_request or 0)


def _overall(results: Sequence[Published]) -> tuple[Overall, ...]:
    groups: defaultdict[tuple[str, str, int], dict[str, Published]] = defaultdict(dict)
    for each in results:
        if "score" in each.values and task_of_config(each.config) in TASKS:
            key = (each.model_id, each.notes.get("protocol", ""), each.pull_request or 0)
            groups[key][each.config] = each
    complete = [
        (-sum(each.values["score"] for each in group.values()) / len(TASKS), key)
        for key, group in groups.items()
        if {task_of_config(config) for config in group} == set(TASKS)
    ]
    return tuple(
        Overall(
            rank=place,
            model_id=key[0],
            protocol=key[1],
            score=-score,
            status=_weakest(groups[key].values()),
            pull_request=key[2] or None,
            is_stated=any(each.notes.get("training") == "stated" for each in groups[key].values()),
            seeds=_seeds([*groups[key].values()]),
        )
        for place, (score, key) in enumerate(sorted(complete), start=1)
    )


def _seeds(group: Sequence[Published]) -> str:
    counts = [seeds_of(each) for each in group]
    known = sorted(int(count) for count in counts if count)
    if len(known) < len(counts):
        return ""
    return str(known[0]) if known[0] == known[-1] else f"{known[0]}–{known[-1]}"


def _weakest(group: Iterable[Published]) -> Status:
    order: tuple[Status, ...] = ("verified", "merged", "community")
    return max((each.status for each in group), key=order.index)

"""Reads and ranks the published results of the benchmark.

The Hub's own leaderboard of a data set shows one number. This module reads all numbers from the `.eval_results`
files of the model repos, so it also works before the Hub has a leaderboard. Anyone may write such files and open
pull requests, so their content is checked (`model_cards.leaderboard.published`) before it is ranked.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import DataError, MlipOodError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.access import canonical
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.folder.configs import is_split_at, level_of_config, task_of_config
from dataset_builders.tasks.regions import TASKS, in_order
from harness.data.dataset import hash_of_hashes
from model_cards.entries.entries import BENCHMARK_TAG
from model_cards.entries.verification import Board, VerifiedNumber, read_board
from model_cards.hub.dataset_names import DatasetNames
from model_cards.leaderboard.published import Fault, Published, Status, published_by, seeds_of
from model_cards.publishing.publishable import declared_ids


@dataclass(frozen=True, slots=True)
class DataOnHub:
    """A data set on the Hub.

    Attributes:
        commit: Commit.
        content_hash: Hash of the data at that commit and level.
        configs: Its configurations at the level.
    """

    commit: str
    content_hash: str
    configs: tuple[str, ...]


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
    """All published results on one state of the data.

    Attributes:
        dataset_id: The data set.
        commit: Its commit.
        content_hash: Hash of the data at that commit and level.
        labels: Name of the level of theory of the labels.
        by_config: Ranking of each configuration, best first, of results merged by the owners of the models.
        overall: The ranking by mean score.
        community: Ranking of each configuration of results in open pull requests, which anyone may open.
        community_overall: The ranking by mean score of pull requests with all four tasks.
        elsewhere: Results on other data, which are not ranked.
        faults: Excluded results of a model, with the reason.
        unread: The reason why a model could not be read, by model.
    """

    dataset_id: str
    commit: str
    content_hash: str
    labels: str
    by_config: Mapping[str, tuple[Ranked, ...]] = field(default_factory=dict)
    overall: tuple[Overall, ...] = ()
    community: Mapping[str, tuple[Ranked, ...]] = field(default_factory=dict)
    community_overall: tuple[Overall, ...] = ()
    elsewhere: tuple[Published, ...] = ()
    faults: tuple[Fault, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


def read_leaderboard(
    dataset_id: str, revision: str | None = None, models: Sequence[str] = (), level: Level = GFN2
) -> Leaderboard:
    """Collects and ranks the results that model repos have published.

    Models are found through the Hub's leaderboard of the data set if there is one, through the tag
    that a push adds to the card, and by name. A fault in one file, pull request or model is listed and
    does not affect the others.

    Args:
        dataset_id: Hub id of the data set.
        revision: Revision on which results must have been measured; `None` for the newest.
        models: Further model repos to read.
        level: Level of theory of the labels; results at other levels are ignored.

    Raises:
        DataError: If the data set or the revision does not exist, or it has no data at the level.
        SetupError: If the Hub cannot be reached.
    """
    dataset_id = canonical(Repo(dataset_id, "dataset")).id
    data = data_on_hub(dataset_id, revision, level)
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
    empty = Leaderboard(dataset_id, data.commit, data.content_hash, level.name, faults=tuple(faults), unread=unread)
    return _ranked(empty, [each for each in found if level_of_config(each.config) == level], data.configs)


def data_on_hub(dataset_id: str, revision: str | None = None, level: Level = GFN2) -> DataOnHub:
    """Commit, content hash and configurations of a data set on the Hub at a level of theory, without a download.

    Raises:
        DataError: If the data set or the revision does not exist, or it has no file of the benchmark at the level.
        SetupError: If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    repo = Repo(dataset_id, "dataset")
    with explained(repo, revision):
        info = retried(lambda: HfApi().dataset_info(dataset_id, revision=revision or MAIN, files_metadata=True))
    files = [file for file in info.siblings or () if is_split_at(file.rfilename, level)]
    if not files or info.sha is None:
        raise DataError(
            f"{repo} contains no file such as {level.config('task1')}/test_ood-*.parquet; expected a data set of this "
            f"benchmark with {level.name} labels"
        )
    hashes = {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None}
    if len(hashes) < len(files):
        absent = next(file.rfilename for file in files if file.lfs is None)
        raise DataError(f"{repo} stores {absent} outside of LFS, so its sha256 is unknown; publish the data set again")
    return DataOnHub(info.sha, hash_of_hashes(hashes), in_order(path.partition("/")[0] for path in hashes))


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


def _ranked(empty: Leaderboard, found: Sequence[Published], configs: Sequence[str]) -> Leaderboard:
    content = empty.content_hash[:SHORT_HASH]
    here = [each for each in found if each.notes.get("content") == content and each.config in configs]
    merged = [each for each in here if each.status != "community"]
    community = [each for each in here if each.status == "community"]
    return replace(
        empty,
        by_config=_by_config(merged),
        overall=_overall(merged),
        community=_by_config(community),
        community_overall=_overall(community),
        elsewhere=tuple(each for each in found if each not in here),
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

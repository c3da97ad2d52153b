"""Reads back what has been published about the benchmark, and ranks it.

The Hub's own leaderboard of a data set shows one number. Here all of them are read from the
`.eval_results` files of the model repos, so that it also works before the Hub has a leaderboard.
"""

import fnmatch
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.configs import is_split_at, level_of_config, task_of_config
from dataset_builders.errors import DataError, MlipOodError
from dataset_builders.hub import MAIN, Repo, explained, open_pull_requests, retried
from dataset_builders.levels import GFN2, Level
from dataset_builders.tasks import TASKS, in_order
from harness.dataset import hash_of_hashes
from model_cards.entries import (
    BENCHMARK_TAG,
    PULL_REQUEST_TITLE,
    SHORT_HASH,
    config_and_number,
    parse_notes,
    read_entries,
)
from model_cards.front_matter import decode_text
from model_cards.publishable import read_file

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

Status = Literal["verified", "merged", "community"]
"""`verified`: the Hub vouches for it. `merged`: the owner of the model has it on the main branch.
`community`: it stands in an open pull request."""

ENTRIES_PATTERN: Final = ".eval_results/*.yaml"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What one model has published on one configuration.

    Attributes:
        model_id: Repo of the model.
        config: Configuration of the data set, such as `task2`.
        values: Published numbers by name (see `dataset_builders.leaderboard.NUMBERS`), in their units.
        notes: What its notes say, by key: protocol, dtype, content (hash of the data), ...
        revision: Commit of the data set.
        status: Who vouches for it.
        pull_request: Number of the pull request that it stands in, if it does.
    """

    model_id: str
    config: str
    values: Mapping[str, float]
    notes: Mapping[str, str]
    revision: str | None
    status: Status
    pull_request: int | None = None


@dataclass(frozen=True, slots=True)
class DataOnHub:
    """A data set on the Hub.

    Attributes:
        commit: Commit.
        content_hash: Of the data at that commit and level.
        configs: Configurations that it holds at the level.
    """

    commit: str
    content_hash: str
    configs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place in a ranking.

    Attributes:
        rank: From 1.
        published: What was published.
    """

    rank: int
    published: Published


@dataclass(frozen=True, slots=True)
class Overall:
    """The mean score of a model that has published all four tasks.

    Attributes:
        rank: From 1.
        model_id: Repo of the model.
        protocol: Protocol of its results.
        score: Mean of the four scores.
        status: The weakest of the four.
    """

    rank: int
    model_id: str
    protocol: str
    score: float
    status: Status


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All that is published about one state of the data.

    Attributes:
        dataset_id: The data set.
        commit: Its commit.
        content_hash: Of the data at that commit and level.
        labels: Name of the level of theory of the labels.
        by_config: Ranking of each configuration, best first.
        overall: Ranking by the mean score.
        elsewhere: Results on other data, which are not ranked.
        unread: Why a model could not be read, by model.
    """

    dataset_id: str
    commit: str
    content_hash: str
    labels: str
    by_config: Mapping[str, tuple[Ranked, ...]]
    overall: tuple[Overall, ...]
    elsewhere: tuple[Published, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


def read_leaderboard(
    dataset_id: str, revision: str | None = None, models: Sequence[str] = (), level: Level = GFN2
) -> Leaderboard:
    """Collects and ranks what model repos have published.

    Models are found through the Hub's leaderboard of the data set where there is one, through the tag
    that a push leaves on the card, and by name.

    Args:
        dataset_id: Hub id of the data set.
        revision: Its state that results must have been measured on; `None` for the newest.
        models: Further model repos to look into.
        level: Level of theory of the labels; results at another one are not looked at.

    Raises:
        DataError: If the data set or the revision does not exist, or it holds nothing at the level.
        SetupError: If the Hub cannot be reached.
    """
    data = data_on_hub(dataset_id, revision, level)
    verified = _models_on_the_hub_board(dataset_id)
    found: list[Published] = []
    unread: dict[str, str] = {}
    for model_id in sorted({*models, *verified, *_tagged_models()}):
        try:
            results = published_by(model_id, dataset_id)
        except MlipOodError as cause:
            unread[model_id] = str(cause)
            continue
        found.extend(_verified(result) if verified.get(model_id) else result for result in results)
    empty = Leaderboard(dataset_id, data.commit, data.content_hash, level.name, {}, (), unread=unread)
    return _ranked(empty, [each for each in found if level_of_config(each.config) == level], data.configs)


def data_on_hub(dataset_id: str, revision: str | None = None, level: Level = GFN2) -> DataOnHub:
    """Commit, content hash and configurations of a data set on the Hub at a level of theory, without a download.

    Raises:
        DataError: If the data set or the revision does not exist, or it holds no file of the benchmark at the level.
        SetupError: If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    repo = Repo(dataset_id, "dataset")
    with explained(repo, revision):
        info = retried(lambda: HfApi().dataset_info(dataset_id, revision=revision or MAIN, files_metadata=True))
    files = [file for file in info.siblings or () if is_split_at(file.rfilename, level)]
    if not files or info.sha is None:
        raise DataError(
            f"{repo} holds no file such as {level.config('task1')}/test_ood-*.parquet; expected a data set of this "
            f"benchmark with {level.name} labels"
        )
    hashes = {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None}
    if len(hashes) < len(files):
        absent = next(file.rfilename for file in files if file.lfs is None)
        raise DataError(f"{repo} keeps {absent} outside of LFS, so its sha256 is unknown; publish the data set again")
    return DataOnHub(info.sha, hash_of_hashes(hashes), in_order(path.partition("/")[0] for path in hashes))


def published_by(model_id: str, dataset_id: str) -> list[Published]:
    """What one model has published about a data set: on its main branch, and in open pull requests.

    Raises:
        DataError: If there is no such model, or a file of results cannot be read.
        SetupError: If the Hub cannot be reached.
    """
    merged = _read(model_id, dataset_id, MAIN, None)
    community = [
        result
        for number in sorted(open_pull_requests(Repo(model_id, "model"), PULL_REQUEST_TITLE))
        for result in _read(model_id, dataset_id, f"refs/pr/{number}", number)
        if not any(_same(result, other) for other in merged)
    ]
    return [*merged, *community]


def _read(model_id: str, dataset_id: str, revision: str, pull_request: int | None) -> list[Published]:
    from huggingface_hub import HfApi

    repo = Repo(model_id, "model")
    with explained(repo, revision):
        info = retried(lambda: HfApi().model_info(model_id, revision=revision))
    names = [file.rfilename for file in info.siblings or () if _is_any(file.rfilename, (ENTRIES_PATTERN,))]
    entries = [entry for name in names for entry in _entries(repo, str(info.sha), name)]
    return _by_config(model_id, [entry for entry in entries if entry.dataset_id == dataset_id], pull_request)


def _entries(repo: Repo, commit: str, name: str) -> list["EvalResultEntry"]:
    with explained(repo, commit):
        content = read_file(repo, commit, name)
    return read_entries(decode_text(content, name))


def _by_config(model_id: str, entries: Iterable["EvalResultEntry"], pull_request: int | None) -> list[Published]:
    groups: defaultdict[str, list[EvalResultEntry]] = defaultdict(list)
    for entry in entries:
        groups[config_and_number(entry)[0]].append(entry)
    return [
        Published(
            model_id=model_id,
            config=config,
            values={config_and_number(entry)[1].name: float(entry.value) for entry in group},
            notes=parse_notes(group[0].notes or ""),
            revision=group[0].dataset_revision,
            status="merged" if pull_request is None else "community",
            pull_request=pull_request,
        )
        for config, group in groups.items()
    ]


def _models_on_the_hub_board(dataset_id: str) -> dict[str, bool]:
    """Models that the Hub's leaderboard lists, and whether it calls them verified; empty where it has none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with explained(Repo(dataset_id, "dataset")):
        try:
            entries = retried(lambda: HfApi().get_dataset_leaderboard(dataset_id, base_model_only=False))
        except HfHubHTTPError as cause:
            if cause.response.status_code not in (400, 403, 404):
                raise
            _LOG.info("the Hub has no leaderboard for %s", dataset_id)
            return {}
    return {entry.model_id: entry.verified for entry in entries}


def _tagged_models() -> list[str]:
    from huggingface_hub import HfApi

    with explained(Repo(BENCHMARK_TAG, "model")):
        return [model.id for model in retried(lambda: list(HfApi().list_models(filter=BENCHMARK_TAG)))]


def _ranked(empty: Leaderboard, found: Sequence[Published], configs: Sequence[str]) -> Leaderboard:
    content = empty.content_hash[:SHORT_HASH]
    here = [each for each in found if each.notes.get("content") == content and each.config in configs]
    by_config: dict[str, tuple[Ranked, ...]] = {
        config: tuple(Ranked(place, each) for place, each in enumerate(sorted(group, key=_merit), start=1))
        for config in in_order(each.config for each in here)
        if (group := [each for each in here if each.config == config and "score" in each.values])
    }
    elsewhere = tuple(each for each in found if each not in here)
    return replace(empty, by_config=by_config, overall=_overall(here), elsewhere=elsewhere)


def _merit(published: Published) -> tuple[float, float, str]:
    """Sorts the best first; equal scores (0 or 100) by the OOD error."""
    return (-published.values["score"], published.values.get("ood_force_mae", 0.0), published.model_id)


def _overall(here: Sequence[Published]) -> tuple[Overall, ...]:
    order: tuple[Status, ...] = ("verified", "merged", "community")
    groups: defaultdict[tuple[str, str], dict[str, Published]] = defaultdict(dict)
    for each in sorted(here, key=lambda published: order.index(published.status), reverse=True):
        if "score" in each.values and task_of_config(each.config) in TASKS:
            groups[each.model_id, each.notes.get("protocol", "")][each.config] = each
    tasks_of = {key: {task_of_config(config) for config in group} for key, group in groups.items()}
    complete = {key: group for key, group in groups.items() if tasks_of[key] == set(TASKS)}
    scored = sorted(
        (-sum(each.values["score"] for each in group.values()) / len(TASKS), model_id, protocol)
        for (model_id, protocol), group in complete.items()
    )
    return tuple(
        Overall(place, model_id, protocol, -score, _weakest(complete[model_id, protocol].values(), order))
        for place, (score, model_id, protocol) in enumerate(scored, start=1)
    )


def _weakest(group: Iterable[Published], order: Sequence[Status]) -> Status:
    return max((each.status for each in group), key=order.index)


def _verified(result: Published) -> Published:
    return replace(result, status="verified") if result.status == "merged" else result


def _same(first: Published, second: Published) -> bool:
    return (first.config, first.values, first.notes) == (second.config, second.values, second.notes)


def _is_any(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)

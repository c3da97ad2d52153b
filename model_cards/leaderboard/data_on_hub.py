"""The states of a data set on the Hub that results were measured on, each with its edition.

What a result says of its data is not trusted: content and edition are those of the files at the commits of the data
set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.folder.configs import is_split_at
from dataset_builders.folder.content_hash import hash_of_hashes
from dataset_builders.tasks.editions import UNKNOWN_EDITION
from dataset_builders.tasks.regions import in_order
from harness.data.dataset import provenance_of
from harness.hub.hub_folder import PREFIX, open_hub_folder

MAX_STATES: Final = 20
"""Limit on earlier commits of a data set that are examined, the newest first."""


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
class DataState:
    """A state of a data set with its edition.

    Attributes:
        data: The data.
        edition: Edition that the files state; `UNKNOWN_EDITION` if they state none.
    """

    data: DataOnHub
    edition: str


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
        raise DataError(f"{repo} keeps {absent} outside of LFS, so its sha256 is unknown; publish the data set again")
    return DataOnHub(info.sha, hash_of_hashes(hashes), in_order(path.partition("/")[0] for path in hashes))


def state_on_hub(dataset_id: str, revision: str | None = None, level: Level = GFN2) -> DataState:
    """A state of a data set; its edition is read from the metadata of one file, without a download of its rows.

    Raises:
        DataError: As `data_on_hub`.
        SetupError: If the Hub cannot be reached.
    """
    data = data_on_hub(dataset_id, revision, level)
    folder = open_hub_folder(f"{PREFIX}datasets/{dataset_id}@{data.commit}") / data.configs[0]
    try:
        edition = provenance_of(folder.glob("*.parquet")[0]).edition
    except DataError:
        edition = UNKNOWN_EDITION
    return DataState(data, edition)


def earlier_states(dataset_id: str, revisions: Iterable[str | None], level: Level) -> list[DataState]:
    """The states of a data set at those of the given revisions that are commits of its main branch, newest first.

    Args:
        dataset_id: Hub id of the data set.
        revisions: Stated by results, which anyone may write; others than commits of the main branch are ignored.
        level: Level of theory of the labels; commits without data at this level are ignored.

    Raises:
        SetupError: If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    wanted = {*revisions} - {None}
    if not wanted:
        return []
    repo = Repo(dataset_id, "dataset")
    with explained(repo):
        commits = retried(lambda: HfApi().list_repo_commits(repo.id, repo_type=repo.kind))
    known = [commit.commit_id for commit in commits if commit.commit_id in wanted]
    found: list[DataState] = []
    for commit in known[:MAX_STATES]:
        try:
            found.append(state_on_hub(dataset_id, commit, level))
        except DataError:
            continue
    return found


def state_of(content: str | None, revision: str | None, states: Sequence[DataState]) -> DataState | None:
    """The state that a result was measured on.

    Args:
        content: First digits of the content hash that it states.
        revision: Commit that it states; decides only if it states no content.
        states: The known states.

    Returns:
        `None` if it is none of them.
    """
    if content is not None:
        return next((each for each in states if each.data.content_hash[:SHORT_HASH] == content), None)
    return next((each for each in states if each.data.commit == revision), None)

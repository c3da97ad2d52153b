"""Conditions for sending a result to a model repo; each refusal states the fault and the remedy."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from dataset_builders.card.eval_yaml import EVAL_FILE
from dataset_builders.card.numbers import leaderboard_ids
from dataset_builders.core.errors import DataError, IncompleteError, ModelError, SetupError, UsageError
from dataset_builders.core.hashes import SHORT_HASH, bytes_sha256
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from harness.core.training_record import RECORD_NAME
from harness.hub.download import Listing, list_files
from harness.method.document import MeanResult
from harness.results.result import PartName, RunResult, TaskResult
from model_cards.entries.entries import pinned_commit
from model_cards.hub.bounded_reading import read_file
from model_cards.text.front_matter import decode_text
from model_cards.text.yaml_text import load_yaml

_TEST_PARTS: Final[tuple[PartName, ...]] = ("test_id", "test_ood")


def require_publishable(results: Sequence[RunResult]) -> None:
    """Checks results for one repo, without a request to the Hub.

    Raises:
        UsageError: If one belongs to a control or to data that are not pinned, or two belong to one task.
        IncompleteError: If structures failed or results are missing.
    """
    seen: set[tuple[str, str, str]] = set()
    for result in results:
        _require_model(result)
        pinned_commit(result.dataset)
        require_no_failures([result])
        for name, task in result.tasks.items():
            _require_whole(result, task)
            config = result.dataset.config(name)
            place = (result.dataset.id, result.dataset.edition, config)
            if place in seen:
                raise UsageError(
                    f"several results of {config} on {result.dataset.id} are for one repo, which publishes a single "
                    "number for each; push only one of them"
                )
            seen.add(place)


def require_no_failures(results: Iterable[RunResult]) -> None:
    """Checks that the results cover complete tasks.

    Raises:
        IncompleteError: If a structure failed.
    """
    for result in results:
        for task in result.tasks.values():
            if task.n_failed:
                first = task.failures[0]
                raise IncompleteError(
                    f"{task.n_failed} structures of {task.task} of {result.model.id} failed, the first "
                    f"{first.molecule_id} ({first.cause}), so its numbers do not represent the task; fix the cause and "
                    "evaluate again"
                )


def require_benchmark(result: RunResult) -> None:
    """Checks that the data set, at its commit, declares the ids under which the numbers are published.

    Raises:
        DataError: If the data set does not exist, or its `eval.yaml` does not declare them.
        SetupError: If the Hub cannot be reached.
    """
    dataset, commit = Repo(result.dataset.id, "dataset"), pinned_commit(result.dataset)
    declared = declared_ids(dataset, commit)
    configs = [result.dataset.config(task) for task in result.tasks]
    absent = [each for each in leaderboard_ids(configs) if each not in declared]
    if absent:
        raise DataError(
            f"{EVAL_FILE} of {dataset} at {commit} does not declare {' '.join(absent)}; it declares "
            f"{' '.join(declared) or 'nothing'}. Publish the data set with its tasks (python -m dataset_builders "
            f"publish DIR {dataset.id}), and evaluate on that commit"
        )


def find_model_files(result: RunResult, listing: Listing) -> list[str]:
    """Finds the files of the measured model in a repo by the hash of their content.

    Args:
        result: The evaluation.
        listing: The repo at a commit.

    Returns:
        Paths in the repo, ascending.

    Raises:
        ModelError: If a file is not in the repo, or has other content.
        SetupError: If the Hub cannot be reached.
    """
    found = {name: _path_of(name, sha256, listing) for name, sha256 in result.model.files.items()}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        hashes = ", ".join(f"{name} (sha256 {result.model.files[name][:SHORT_HASH]}…)" for name in absent)
        raise ModelError(
            f"the result does not belong to the files in {listing.repo} at {listing.commit}: it was computed with "
            f"{hashes}, which the repo does not contain. Give the repo that contains them with --repo, or evaluate "
            f"this one: python -m harness --model {listing.repo.id}"
        )
    return sorted(path for path in found.values() if path is not None)


def pinned_model(result: RunResult, head: Listing) -> str:
    """The pinned id of the measured model, as on the command line: `org/name@commit[/path]`.

    A model that was read from local files is named by the newest commit of the repo that changed one of them, so
    commits that change other files do not change the name.

    Args:
        result: The evaluation.
        head: The repo with the files, at its head.

    Raises:
        ModelError: If the repo does not contain the files.
        SetupError: If the Hub cannot be reached.
    """
    repo, revision = hub_repo_of(result), result.model.revision
    place: str | None
    if repo is not None and revision is not None:
        return f"{repo}@{revision}{result.model.id.removeprefix(repo)}"
    paths = find_model_files(result, head)
    # The training declaration is not part of the checkpoint; it lies beside or above it.
    weights = [path for path in paths if not path.endswith(RECORD_NAME)] or paths
    if isinstance(result, MeanResult):
        place = _folder_of_method(result, head)
    else:
        place = weights[0] if len(weights) == 1 else _common_folder(weights)
    for commit in _last_commits(head, paths):
        listing = list_files(head.repo, commit)
        if all(_path_of(name, sha256, listing) for name, sha256 in result.model.files.items()):
            return f"{head.repo.id}@{commit}{f'/{place}' if place else ''}"
    return f"{head.repo.id}@{head.commit}{f'/{place}' if place else ''}"


def _folder_of_method(result: MeanResult, head: Listing) -> str:
    """The folder of a repo with the models of a method in the layout of `--method`; empty for the root of the repo.

    Raises:
        ModelError: If they have another layout, so that the evaluation could not be repeated.
    """
    wanted = {name: sha256 for name, sha256 in result.model.files.items() if not name.endswith(RECORD_NAME)}
    first, sha256 = next(iter(wanted.items()))
    path = _path_of(first, sha256, head) or ""
    root = path.removesuffix(first) if path.endswith(first) else None
    here = {
        name: None if root is None or f"{root}{name}" not in head.sha256 else _path_of(f"{root}{name}", sha256, head)
        for name, sha256 in wanted.items()
    }
    wrong = [name for name, found in here.items() if found != f"{root}{name}"]
    if wrong:
        raise ModelError(
            f"{head.repo} at {head.commit} contains the models of {result.model.id}, but not in the layout of a "
            f"method: {wrong[0]} is missing. Publish the folder of the method in one repo, with task1/ to task4/: "
            f"python -m model_cards publish DIR {head.repo.id}"
        )
    return (root or "").rstrip("/")


def hub_repo_of(result: RunResult) -> str | None:
    """The Hub repo that a model was read from; `None` for local files."""
    if result.model.revision is None:
        return None
    return "/".join(result.model.id.split("/")[:2])


def with_current_ids(result: RunResult, today: Callable[[Repo], Repo]) -> RunResult:
    """The result with the current Hub ids of its data set and model.

    Args:
        result: A result on a data set of the Hub.
        today: Returns a repo under its current id.

    Raises:
        DataError: If the data set does not exist.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    dataset, model = result.dataset, result.model
    dataset = dataset.model_copy(update={"id": today(Repo(dataset.id, "dataset")).id})
    repo = hub_repo_of(result)
    if repo is not None:
        # A deleted repo keeps its earlier id; what identifies the model is its files, wherever they are now.
        with contextlib.suppress(DataError):
            model = model.model_copy(update={"id": today(Repo(repo, "model")).id + model.id.removeprefix(repo)})
    return result.model_copy(update={"dataset": dataset, "model": model})


def _require_model(result: RunResult) -> None:
    protocols = {result.model.protocol, *(task.protocol for task in result.tasks.values())}
    if "control" in protocols or not result.model.files:
        raise UsageError(
            f"{result.model.id} is a control, which has no checkpoint and no model repo. Only results of models can be "
            "pushed; controls are part of the harness"
        )
    if result.model.unfinished:
        raise IncompleteError(
            f"the training of {result.model.id} was stopped early ({result.model.unfinished}); finish it with the "
            "command that started it, and evaluate again"
        )
    if not result.tasks:
        raise IncompleteError(f"the result of {result.model.id} contains no task; evaluate again")


def _require_whole(result: RunResult, task: TaskResult) -> None:
    of = f"{task.task} of {result.model.id}"
    missing = [part for part in _TEST_PARTS if part not in task.splits]
    if missing:
        raise IncompleteError(f"{of} is incomplete: it has no {' and '.join(missing)}; evaluate on the whole data set")
    if task.score.value is None:
        raise IncompleteError(f"{of} has no score ({task.score.reason}), which leaderboards rank by. Evaluate again")


def declared_ids(dataset: Repo, commit: str) -> list[str]:
    """The task ids that a data set declares, in order; the Hub's leaderboard ranks by the first.

    Raises:
        DataError: If the data set declares none.
        SetupError: If the Hub cannot be reached.
    """
    from huggingface_hub.errors import EntryNotFoundError

    with explained(dataset, commit):
        try:
            content = read_file(dataset, commit, EVAL_FILE)
        except EntryNotFoundError as cause:
            raise DataError(
                f"{dataset} at {commit} has no {EVAL_FILE}, so no results can be pushed for it; its owner publishes "
                f"this file with: python -m dataset_builders publish DIR {dataset.id}"
            ) from cause
    name = f"{EVAL_FILE} of {dataset}"
    data: Any = load_yaml(decode_text(content, name), name)
    tasks = data.get("tasks") if isinstance(data, dict) else None
    listed = tasks if isinstance(tasks, list) else []
    return [str(task["id"]) for task in listed if isinstance(task, dict) and "id" in task]


def _path_of(name: str, sha256: str, listing: Listing) -> str | None:
    """Path in a repo of the file with this content; among several, the one with this name."""
    if _is_there(name, sha256, listing):
        return name
    stored = [path for path, stated in listing.sha256.items() if stated == sha256]
    # The Hub lists no hash for a file outside large-file storage, so candidate files are read.
    small = [path for path, stated in listing.sha256.items() if stated is None and _may_be(path, name)]
    found = stored or [path for path in small if _sha256_at(path, listing) == sha256]
    return min(found, key=lambda path: (path != name, _base(path) != _base(name), path), default=None)


def _is_there(path: str, sha256: str, listing: Listing) -> bool:
    """Whether the file at a path of a repo has this content."""
    if path not in listing.sha256:
        return False
    stated = listing.sha256[path]
    return (_sha256_at(path, listing) if stated is None else stated) == sha256


def _may_be(path: str, name: str) -> bool:
    """Whether a repo file may match a local name; a record beside a single file carries the name of that file."""
    return _base(path) == _base(name) or (path.endswith(RECORD_NAME) and name.endswith(RECORD_NAME))


def _sha256_at(path: str, listing: Listing) -> str:
    with explained(listing.repo, listing.commit):
        return bytes_sha256(read_file(listing.repo, listing.commit, path))


def _base(path: str) -> str:
    return PurePosixPath(path).name


def _common_folder(paths: Sequence[str]) -> str:
    folders = {PurePosixPath(path).parent.as_posix() for path in paths}
    only = next(iter(folders)) if len(folders) == 1 else "."
    return "" if only == "." else only


def _last_commits(listing: Listing, paths: Sequence[str]) -> list[str]:
    """The commits that last changed the files, newest first."""
    from huggingface_hub import HfApi

    with explained(listing.repo, listing.commit):
        found = retried(lambda: HfApi().get_paths_info(listing.repo.id, [*paths], revision=listing.commit, expand=True))
    last: Mapping[str, Any] = {each.path: each.last_commit for each in found}
    unknown = [path for path in paths if last.get(path) is None]
    if unknown:
        raise SetupError(
            f"the Hub does not report which commit changed {' '.join(unknown)} of {listing.repo}; try again later"
        )
    commits = {last[path].oid: last[path].date for path in paths}
    return sorted(commits, key=lambda commit: (commits[commit], commit), reverse=True)

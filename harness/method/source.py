"""Finds the models of a method: in a local folder, in a repo on the Hub, or from a list by the user."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.tasks.regions import TASK_PATTERN, TaskName, in_order
from harness.core.seed_folders import place_of
from harness.core.training_record import MAX_BYTES, RECORD_NAME
from harness.hub.download import Listing, fetch_files, list_files
from harness.method.layout import Layout, Leaf, find_layout, look_among, look_here
from harness.method.statement import read_statement
from harness.models.detection import WHOLE
from harness.models.registry import ModelSource, families, identify
from harness.models.resolve import HubAddress, parse_address, resolve_model
from harness.models.training_declaration import Statement
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE

DEFAULT_NAME: Final = "method"
"""Name of a method whose models the user lists one by one without giving a name."""

_ASSIGNED: Final = re.compile(rf"({TASK_PATTERN})=(.+)", re.DOTALL)
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a method.

    Attributes:
        task: Task of its evaluation.
        seed: Its seed, if there are several or its folder names one.
        source: The model.
    """

    task: TaskName
    seed: int | None
    source: ModelSource

    @property
    def place(self) -> str:
        """Folder in the method, such as `task1/seed0`."""
        return place_of(self.task, self.seed)

    def files(self) -> list[Path]:
        """The files of its checkpoint, sorted; empty without a checkpoint."""
        path, family = self.source.path, self.source.family
        if path is None or not path.is_dir():
            return [] if path is None else [path]
        patterns = (CONFIG_FILE, WEIGHTS_FILE) if family.in_config else family.folder
        found = [file for file in sorted(path.iterdir()) if file.is_file()]
        return [file for file in found if any(fnmatchcase(file.name, pattern) for pattern in patterns)]


@dataclass(frozen=True, slots=True)
class MethodSource:
    """A method as given by the user.

    Attributes:
        name: Name in tables and leaderboards.
        members: Its models, by task and seed.
        revision: Commit on the Hub, if it is a repo there.
        left_out: Folders in it that do not belong to the method.
        statement: Its statement on the training of all its models; the task is ignored.
        file: The file of the statement.
    """

    name: str
    members: tuple[Member, ...]
    revision: str | None = None
    left_out: tuple[str, ...] = ()
    statement: Statement | None = None
    file: Path | None = None


def find_method(text: str, known: Collection[TaskName], family: str | None = None) -> MethodSource:
    """Finds the models in a folder or repo, and downloads models from the Hub.

    Args:
        text: A folder, or `org/name[@revision][/path/in/repo]`.
        known: Names of all tasks.
        family: The family of all checkpoints, if it cannot be detected from their files.

    Raises:
        UsageError: If the text is neither, or the layout is not that of a method.
        ModelError: If a folder does not contain exactly one checkpoint of a known family.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    path = Path(text)
    if path.is_dir():
        return _method_here(text.rstrip("/") or text, path, known, family)
    address = None if path.exists() else parse_address(text)
    if address is None:
        raise UsageError(
            f"--method {text!r} is neither a local folder nor a repo on the Hub; expected a folder with task1/ to "
            "task4/, or org/name[@revision]"
        )
    return _method_on_hub(address, known, family)


def assigned_models(texts: Sequence[str], known: Collection[TaskName]) -> list[tuple[TaskName, str]] | None:
    """Reads models in the format `TASK=MODEL`; `None` if none has this format.

    Args:
        texts: Values of --model.
        known: Names of all tasks.

    Raises:
        UsageError: If only some have this format, or a task does not exist.
    """
    found = [None if Path(text).exists() else _ASSIGNED.fullmatch(text) for text in texts]
    if not any(found):
        return None
    assigned = []
    for text, each in zip(texts, found, strict=True):
        if each is None:
            raise UsageError(
                f"--model {text} together with --model TASK=MODEL; give the task of every model (a method), or of none"
            )
        if each[1] not in known:
            raise UsageError(f"--model {text}: unknown task {each[1]!r}; known tasks: {' '.join(in_order(known))}")
        assigned.append((each[1], each[2]))
    return assigned


def assigned_method(
    assigned: Sequence[tuple[TaskName, str]], name: str | None = None, family: str | None = None
) -> MethodSource:
    """A method whose models the user lists one by one; several models of a task are its seeds, numbered from 0.

    Args:
        assigned: Task and model, from `assigned_models`.
        name: Name of the method.
        family: The family of all checkpoints, if it cannot be detected from their files.

    Raises:
        UsageError: If a model is named twice, or one is unknown.
        ModelError: If a model cannot be found.
    """
    by_task: dict[TaskName, list[str]] = {}
    for task, text in assigned:
        by_task.setdefault(task, []).append(text)
    members = []
    for task in in_order(by_task):
        texts = by_task[task]
        for seed, text in enumerate(texts):
            if text in texts[:seed]:
                raise UsageError(f"--model {task}={text} is given twice; give each seed of a task once")
            members.append(Member(task, seed if len(texts) > 1 else None, resolve_model(text, family)))
    return MethodSource(_checked_name(name or DEFAULT_NAME), tuple(members))


def restricted_to(method: MethodSource, tasks: Sequence[TaskName]) -> MethodSource:
    """A method restricted to some tasks; unrestricted if no task is named.

    Raises:
        UsageError: If it has no model for one of them.
    """
    if not tasks:
        return method
    held = in_order(member.task for member in method.members)
    absent = [task for task in tasks if task not in held]
    if absent:
        raise UsageError(
            f"--task {absent[0]}, but {method.name} contains models of {' '.join(held)} only; omit the others"
        )
    return replace(method, members=tuple(member for member in method.members if member.task in tasks))


def _checked_name(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME:
        raise UsageError(f"--name {name[:_MAX_NAME]!r}; expected one line of at most {_MAX_NAME} characters")
    return name


def _method_here(text: str, root: Path, known: Collection[TaskName], family: str | None) -> MethodSource:
    layout = find_layout(text, look_here(root), known, families())
    members = []
    for leaf in layout.leaves:
        source = identify(f"{text}/{leaf.path}", family)
        if source.record is None:
            source = replace(source, record=_record_above(root, leaf))
        members.append(Member(leaf.task, leaf.seed, source))
    return _with_statement(MethodSource(text, tuple(members), left_out=layout.left_out), root / RECORD_NAME)


def _record_above(root: Path, leaf: Leaf) -> Path | None:
    """The training record shared by all seeds of a task, or by all models of a method."""
    above = [root, *([root / leaf.task] if leaf.seed is not None else [])]
    return next((folder / RECORD_NAME for folder in reversed(above) if (folder / RECORD_NAME).is_file()), None)


def _method_on_hub(address: HubAddress, known: Collection[TaskName], family: str | None) -> MethodSource:
    try:
        listing = list_files(address.repo, address.revision)
    except DataError as cause:
        raise ModelError(str(cause)) from cause
    below = "" if address.path == WHOLE else address.path
    layout: Layout = find_layout(address.text, look_among(listing.sha256.keys(), below), known, families())
    start = f"{listing.repo.id}@{listing.commit}/" + (f"{below}/" if below else "")
    members = tuple(
        Member(leaf.task, leaf.seed, resolve_model(f"{start}{leaf.path}", family)) for leaf in layout.leaves
    )
    name = listing.repo.id + (f"/{below}" if below else "")
    method = MethodSource(name, members, listing.commit, layout.left_out)
    path = f"{below}/{RECORD_NAME}" if below else RECORD_NAME
    if path not in listing.sha256:
        return method
    _require_short(listing, path)
    return _with_statement(method, fetch_files(listing, [path]) / path)


def _require_short(listing: Listing, path: str) -> None:
    """Checks the size of a training declaration before it is downloaded."""
    size = listing.sizes.get(path)
    if size is not None and size > MAX_BYTES:
        raise ModelError(f"{path} of {listing.repo} has {size:,} bytes; expected at most {MAX_BYTES:,}")


def _with_statement(method: MethodSource, path: Path) -> MethodSource:
    """Adds the statement in the file at the root of a method, unless the file is the record of a training."""
    statement = read_statement(path) if path.is_file() else None
    if statement is None:
        return method
    members = tuple(
        replace(member, source=replace(member.source, record=None)) if _is_same(member.source.record, path) else member
        for member in method.members
    )
    return replace(method, members=members, statement=statement, file=path)


def _is_same(record: Path | None, path: Path) -> bool:
    return record is not None and record.absolute() == path.absolute()

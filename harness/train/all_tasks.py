"""`python -m harness train --all-tasks --seeds 0 1 2`: all trainings of a method, each in its own folder."""

import argparse
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.regions import TASKS
from harness.core.seed_folders import place_of
from harness.networks.checkpoint_format import CONFIG_FILE, read_config
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES, control_of
from harness.networks.finished import holds_finished_checkpoint
from harness.train.options import folder_of, settings_of

_FREE: Final = frozenset({"compile"})
"""Settings that only change speed and rounding; a resumed run may change them too."""


def trainings_of(options: argparse.Namespace) -> list[argparse.Namespace]:
    """The options of each training of a method, task by task; each has its own folder.

    Args:
        options: Options of the command, with `--all-tasks`.

    Raises:
        UsageError: If a seed is given twice or below 0, or seeds are requested for a method without random numbers.
    """
    control = is_control(options)
    if control and options.seeds is not None:
        raise UsageError(
            f"--seeds {_listed(options.seeds)} has no effect on --arch {options.arch}, which uses no random numbers; "
            "leave it out"
        )
    seeds: list[int | None] = [None] if control else (options.seeds or [options.seed])
    for seed in seeds:
        if seed is not None and (seed < 0 or seeds.count(seed) > 1):
            raise UsageError(f"--seeds {_listed(seeds)}; expected distinct numbers of 0 or more")
    root = folder_of(options)
    found = []
    for task in TASKS:
        for seed in seeds:
            own = copy.copy(options)
            own.all_tasks, own.seeds, own.task, own.out = False, None, task, root / place_of(task, seed)
            own.seed = options.seed if seed is None else seed
            found.append(own)
    return found


def is_control(options: argparse.Namespace) -> bool:
    """Whether the options name a control instead of a network."""
    return (options.arch or "").lower() in CONTROL_ARCHITECTURES


def require_data(trainings: list[argparse.Namespace]) -> None:
    """Checks, before the first training, that the data set has all tasks, and that finished models match the options.

    Raises:
        UsageError: If a folder contains a finished model with other settings or data.
        DataError: If the data of a task are absent or corrupt.
    """
    from harness.train.data_source import find_training_files
    from harness.train.task_data import pin_training_files

    hashes: dict[str, str] = {}
    for options in trainings:
        if options.task not in hashes:
            level = find_level(options.labels)
            source = find_training_files(options.dataset, options.task, level)
            hashes[options.task] = pin_training_files(source.directory, options.task, level).content_hash
        if holds_finished_checkpoint(options.out):
            _require_same(options, hashes[options.task])


def _require_same(options: argparse.Namespace, content: str) -> None:
    """Checks that a finished model is the one that these options would train."""
    directory: Path = options.out
    for what, wanted, found in _differences(options, content):
        raise UsageError(
            f"{directory} contains a finished model whose {what} is {found}; expected {wanted}, since all models of a "
            "method share their settings. Choose another --out, or delete that folder"
        )


def _differences(options: argparse.Namespace, content: str) -> Iterator[tuple[str, object, object]]:
    found, wanted = _recorded(options.out), _requested(options, content)
    yield from ((name, value, found.get(name)) for name, value in wanted.items() if found.get(name) != value)


def _requested(options: argparse.Namespace, content: str) -> dict[str, Any]:
    """The facts that the config of the requested model would state."""
    facts: dict[str, Any] = {"task": options.task, "content of the training data": content}
    if is_control(options):
        return facts | {"architecture": options.arch.lower(), "train_frames": options.train_frames}
    facts["baseline"] = options.delta
    facts["protocol"] = "from-scratch" if options.init is None else "fine-tuned"
    if options.init is not None:
        # Values taken from the initial model are unknown until it is loaded.
        given = {name: getattr(options, name) for name in ("epochs", "steps")}
        facts |= {"train_frames": options.train_frames}
        return facts | {"seed": options.seed} | {name: value for name, value in given.items() if value is not None}
    from harness.compute.device import resolve_device

    settings = settings_of(options, None, resolve_device(options.device)).as_dict()
    return facts | {name: _plain(value) for name, value in settings.items() if name not in _FREE}


def _recorded(directory: Path) -> dict[str, Any]:
    """The facts that the config of a finished model states."""
    control = control_of(directory)
    if control is not None:
        document = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        training = document["training"]
        facts = {"architecture": control, "task": document["trained_on"]}
        facts |= {"train_frames": training.get("train_frames")}
        return facts | {"content of the training data": training.get("data_hash")}
    config = read_config(directory)
    settings = config.training.get("settings")
    return {
        **(settings if isinstance(settings, dict) else {}),
        "architecture": config.architecture,
        "arguments": _plain(config.arguments),
        "task": config.trained_on,
        "baseline": config.baseline,
        "protocol": config.protocol,
        "content of the training data": config.training.get("data_hash"),
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return dict(value) if isinstance(value, Mapping) else value


def _listed(seeds: list[Any]) -> str:
    return " ".join(map(str, seeds))

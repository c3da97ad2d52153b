"""The options of `python -m harness train`, and the settings that follow from them."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.chemistry.levels import GFN2, LEVELS, find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.parsed_text import parse_json, parse_toml
from dataset_builders.tasks.regions import TASKS
from harness.networks.added import LOCAL, added_names, find_architecture
from harness.networks.architecture import Architecture, NetworkArguments
from harness.networks.architectures import ARCHITECTURES, IN_ENVIRONMENTS
from harness.networks.arguments import ArgumentsError, names_of, parsed, plain, with_values
from harness.networks.checkpoint_format import BASELINES, BaselineName
from harness.networks.compiling import can_compile
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES
from harness.results.identity import model_slug
from harness.train.budget import DEFAULT_BUDGET, Budget, parse_budget
from harness.train.defaults import FINE_TUNING_SHARE, LOCAL_FIELD, can_be_local, limited_to, parse_architecture
from harness.train.settings import TrainSettings

if TYPE_CHECKING:
    import torch

    from harness.train.start import Start

DEFAULT_ARCHITECTURE: Final = "painn"
DEFAULT_FOLDER: Final = Path("checkpoints")
PAYS_FROM_MINUTES: Final = 5.0
"""Minimum budget for which steps two to five times as fast repay the minutes that compiling takes."""

_RECIPE: Final = "(default: by architecture)"


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    defaults = TrainSettings(epochs=1)
    parser = option_parser(
        "python -m harness train",
        "--task TASK | --all-tasks [options]",
        "Train on `train` of a task and select by `validation`; opens no test split; run again, it resumes.",
        (
            "python -m harness train --arch painn --task task2 --epochs 20",
            "python -m harness train --all-tasks --seeds 0 1 2 --out method",
        ),
    )
    group = parser.add_argument_group("data, model, output")
    tasks = group.add_mutually_exclusive_group(required=True)
    tasks.add_argument("--task", help=f"{', '.join(TASKS)}, or the data set's own")
    tasks.add_argument("--all-tasks", action="store_true", help="one model per task and seed, for --method")
    add = group.add_argument
    add("--dataset", default="mini", help="`mini`, a folder, or a Hub id org/name[@revision] (default: mini)")
    add(
        "--labels",
        choices=(*LEVELS,),
        default=GFN2.name,
        metavar="LEVEL",
        help=f"{', '.join(LEVELS)} (default: {GFN2.name})",
    )
    names = ", ".join(f"{name.lower()}{'*' if name in IN_ENVIRONMENTS else ''}" for name in ARCHITECTURES)
    added = "".join(f", {name.lower()} (plug-in)" for name in added_names())
    controls = ", ".join(CONTROL_ARCHITECTURES)
    local = " ".join(name.lower() for name in ARCHITECTURES if can_be_local(name))
    add(
        "--arch",
        help=f"{names}{added} (*: own environment), or a control: {controls} (default: {DEFAULT_ARCHITECTURE}, or that "
        f"of --init); {LOCAL}, of {LOCAL_FIELD:g} Å, for {local}",
    )
    add("--out", type=Path, metavar="DIR", help="folder (default: checkpoints/<arch>-<task>-seed<seed> or -method)")
    add(
        "--keep-checkpoints",
        action="store_true",
        help="keep the weights of each validation, in DIR/validations",
    )
    add("--train-frames", type=int, metavar="N", help="train on N frames, as many of each molecule (default: all)")
    add("--seed", type=int, default=defaults.seed, help="seed of the weights and the frame order (default: 0)")
    add("--seeds", type=int, nargs="+", metavar="SEED", help="seeds of --all-tasks (default: that of --seed)")
    _add_length(parser)
    _add_strategy(parser)
    _add_hyper_parameters(parser, defaults)
    add = parser.add_argument_group("running").add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--threads", type=int, default=1, help="CPU threads (default: 1, fastest for small batches)")
    add(
        "--frames-on-disk",
        choices=("auto", "always", "never"),
        metavar="WHEN",
        default="auto",
        help="auto (beyond a quarter of the free memory), always, never",
    )
    return parser


def _add_length(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("length (one of --budget, --epochs, --steps; see docs/training.md)")
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--budget",
        metavar="TIME",
        help=f"such as 90s, 5min, 1h or `full` (default: {DEFAULT_BUDGET})",
    )
    length.add_argument("--epochs", type=int, help="passes over the training frames, reproducible")
    length.add_argument("--steps", type=int, help="optimiser steps, reproducible bit for bit")
    group.add_argument(
        "--patience",
        type=int,
        default=TrainSettings(epochs=1).patience,
        help="validations without progress that end a run; 0: never (default: 8)",
    )


def _add_strategy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("strategies")
    group.add_argument(
        "--init",
        metavar="MODEL",
        help="initial ANI state dict, MACE .model, so3lr, or own checkpoint",
    )
    group.add_argument("--family", metavar="NAME", help="family of --init, if its files do not identify it")
    group.add_argument("--head", metavar="NAME", help="readout head of --init, if it has several")
    group.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="load --init even if it is a pickle that may run code",
    )
    group.add_argument(
        "--delta", choices=BASELINES, metavar="METHOD", help=f"baseline to correct: {', '.join(BASELINES)}"
    )
    group.add_argument(
        "--receptive-field",
        type=float,
        metavar="Å",
        help="limit of the receptive field; sets layers and cutoff",
    )


def _add_hyper_parameters(parser: argparse.ArgumentParser, defaults: TrainSettings) -> None:
    add = parser.add_argument_group("hyper-parameters").add_argument
    add("--channels", type=int, help=f"features per atom {_RECIPE}")
    add("--radial-features", type=int, help=f"radial basis functions {_RECIPE}")
    add("--layers", type=int, help=f"message-passing layers {_RECIPE}")
    add("--cutoff", type=float, help=f"neighbour cutoff, Å {_RECIPE}")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="argument of the network; may be repeated")
    add("--config", type=Path, metavar="FILE", help="arguments of the network, TOML or JSON")
    add("--batch-size", type=int, help=f"frames per step {_RECIPE}")
    add("--learning-rate", type=float, help=f"peak learning rate {_RECIPE}")
    weight, decay = defaults.energy_weight, defaults.ema_decay
    add(
        "--energy-weight",
        type=float,
        default=weight,
        help="weight of 1 eV per atom against 1 eV/Å in the loss (default: 1)",
    )
    add("--ema-decay", type=float, default=decay, help=f"decay of the running mean of weights (default: {decay})")
    add("--validations", type=int, default=defaults.validations, help="validations in the whole run (default: 20)")
    add(
        "--compile",
        nargs="?",
        choices=("auto", "always", "never"),
        metavar="WHEN",
        default="auto",
        const="always",
        help=f"auto (CPU, from {PAYS_FROM_MINUTES:g} min), always, never (default: auto)",
    )


def settings_of(options: argparse.Namespace, start: "Start | None", device: "torch.device") -> TrainSettings:
    """The settings of a run.

    Args:
        options: The user's options.
        start: The initial model of the training.
        device: Device for training.

    Raises:
        UsageError: If options contradict each other or are out of range.
    """
    if options.threads < 1:
        raise UsageError(f"--threads {options.threads}; expected 1 or more")
    is_counted = options.epochs is not None or options.steps is not None
    budget = Budget() if is_counted else parse_budget(options.budget or DEFAULT_BUDGET)
    architecture, arguments = _new_network(options) if start is None else _network_of(start, options)
    # A foundation model already has a rate for fine-tuning; other networks have one for training from scratch.
    share = FINE_TUNING_SHARE if start is not None and architecture.arguments is not None else 1.0
    return TrainSettings(
        architecture=architecture.name,
        arguments=arguments,
        batch_size=architecture.batch_size if options.batch_size is None else options.batch_size,
        learning_rate=share * architecture.learning_rate if options.learning_rate is None else options.learning_rate,
        budget_minutes=budget.minutes,
        epochs=options.epochs,
        steps=budget.steps if options.steps is None else options.steps,
        seed=options.seed,
        energy_weight=options.energy_weight,
        ema_decay=options.ema_decay,
        validations=options.validations,
        patience=options.patience,
        compile=_compiles(options, budget, architecture, device),
        train_frames=options.train_frames,
    )


def baseline_of(options: argparse.Namespace, start: "Start | None") -> BaselineName | None:
    """The physics method that the network corrects.

    Raises:
        UsageError: If the initial model corrects another one.
    """
    wanted: BaselineName | None = options.delta
    if start is not None and start.baseline != wanted:
        needed = f"use --delta {start.baseline}" if start.baseline else "leave --delta out"
        given = f"--delta {wanted}" if wanted else "no --delta"
        raise UsageError(f"{given} with --init {options.init}, whose baseline is {start.baseline or 'none'}; {needed}")
    return wanted


def folder_of(options: argparse.Namespace) -> Path:
    """The output folder."""
    if options.out is not None:
        return Path(options.out)
    name = options.arch.lower() if options.arch else ("" if options.init else DEFAULT_ARCHITECTURE)
    parts = [name] if name else []
    if options.delta:
        parts.append(f"on-{options.delta}")
    if options.init:
        parts.append(f"from-{model_slug(options.init)}")
    level = find_level(options.labels)
    if options.all_tasks:
        return DEFAULT_FOLDER / "-".join([*parts, level.config("method")])
    config = level.config(options.task)
    return DEFAULT_FOLDER / f"{'-'.join(parts)}-{config}-seed{options.seed}"


def _new_network(options: argparse.Namespace) -> tuple[Architecture, NetworkArguments | Mapping[str, Any]]:
    name = parse_architecture(options.arch or DEFAULT_ARCHITECTURE)
    architecture = find_architecture(name.architecture)
    if architecture.arguments is None:
        raise UsageError(f"--arch {options.arch} is a foundation model; give its checkpoint with --init")
    shape = _shape(architecture, options)
    field = LOCAL_FIELD if name.is_local and options.receptive_field is None else options.receptive_field
    if field is not None:
        shape = limited_to(architecture.name, shape, field)
    # A plug-in's arguments become plain values here, as in a checkpoint.
    return architecture, shape if architecture.plugin is None else plain(shape)


def _shape(architecture: Architecture, options: argparse.Namespace) -> Any:
    """The arguments of a network: options override `--set`, which overrides a file."""
    defaults = architecture.arguments
    given = {} if options.config is None else _values_in(options.config)
    for each in options.set:
        name, equals, text = each.partition("=")
        if not equals:
            raise UsageError(f"--set {each}; expected NAME=VALUE, with NAME one of {' '.join(names_of(defaults))}")
        given[name.strip()] = parsed(defaults, name.strip(), text.strip())
    given |= {name: value for name, value in _shape_options(options).items() if value is not None}
    if architecture.plugin is None:
        # Values out of range are rejected under the name of their option.
        TrainSettings(arguments=_unchecked(defaults, given), epochs=1)
    try:
        return with_values(defaults, given)
    except ArgumentsError as cause:
        raise UsageError(f"{architecture.title}: {cause}") from cause


def _unchecked(defaults: Any, given: Mapping[str, Any]) -> Any:
    known = {name: given[name] for name in names_of(defaults) if isinstance(given.get(name), int | float)}
    return replace(defaults, **known)


def _values_in(path: Path) -> dict[str, Any]:
    """The arguments in a file.

    Raises:
        UsageError: If it cannot be read, or is neither TOML nor JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = parse_json(text) if path.suffix == ".json" else parse_toml(text)
    except (OSError, ValueError) as cause:
        raise UsageError(
            f"--config {path} cannot be read ({cause}); expected TOML, or JSON in a file *.json"
        ) from cause
    if not isinstance(found, dict):
        raise UsageError(f"--config {path} contains a {type(found).__name__}; expected an object of arguments by name")
    return found


def _network_of(
    start: "Start", options: argparse.Namespace
) -> tuple[Architecture, NetworkArguments | Mapping[str, Any]]:
    named = parse_architecture(options.arch) if options.arch else None
    if named is not None and (named.is_local or named.architecture != start.architecture):
        raise UsageError(
            f"--arch {options.arch} with --init {options.init}, which is {start.architecture}; leave --arch out"
        )
    changes = {**_shape_options(options), "receptive_field": options.receptive_field, "config": options.config}
    for name, value in {**changes, "set": options.set or None}.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} changes the network, which --init determines; leave it out")
    return find_architecture(start.architecture), start.arguments


def _shape_options(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names_of(NetworkArguments)}


def _compiles(options: argparse.Namespace, budget: Budget, architecture: Architecture, device: "torch.device") -> bool:
    if options.compile != "auto":
        return bool(options.compile == "always")
    is_long = budget.steps is not None or (budget.minutes is not None and budget.minutes >= PAYS_FROM_MINUTES)
    return is_long and device.type == "cpu" and architecture.can_compile and can_compile()

"""The options of commands that evaluate models, in groups: model, data, running, output."""

import argparse
from pathlib import Path
from typing import Final, get_args

from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.core.errors import UsageError
from dataset_builders.core.usable_cpus import usable_cpus
from harness.core.potential import DtypeName, Isolation, TrainingProtocol
from harness.evaluation.options import DEFAULT_DATASET, DEFAULT_OUTPUT, EvaluationOptions

AUTO: Final = "auto"


def add_evaluation_options(parser: argparse.ArgumentParser, *, comparing: bool = False) -> None:
    """Adds all groups to the parser of a command.

    Args:
        parser: Parser of the command.
        comparing: Whether finished runs are accepted in place of models.
    """
    model = parser.add_argument_group("model")
    if comparing:
        model.add_argument("run", nargs="*", type=Path, metavar="RUN_DIR", help="folder of a finished run or method")
    _add_model(model, model_is_required=not comparing)
    _add_data(parser.add_argument_group("data"), GFN2.name if comparing else AUTO)
    _add_running(parser.add_argument_group("running"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="folder of results (default: results)"
    )
    add_printing(output)
    output.add_argument("--push", action="store_true", help="push results to the models' Hub repos, like `push`")
    output.add_argument("--results-repo", metavar="REPO", help="with --push: publish all predictions there too")


def add_printing(output: argparse._ArgumentGroup) -> None:
    """Adds the options for the printed output."""
    output.add_argument("--intervals", action="store_true", help="print the confidence interval of each number")
    output.add_argument(
        "--provenance", action="store_true", help="print hashes, batches, memory and training errors of each model"
    )
    output.add_argument("--json", action="store_true", help="print only the results, as JSON, one per line")
    output.add_argument("--quiet", action="store_true", help="no progress bar")


def options_of(arguments: argparse.Namespace) -> EvaluationOptions:
    """Converts the arguments to options of the Python interface."""
    return EvaluationOptions(
        family=arguments.family,
        calculator=arguments.calculator,
        device=arguments.device,
        dtype=arguments.dtype,
        head=arguments.head,
        threads=arguments.threads,
        compile=arguments.compile,
        trust_checkpoint=arguments.trust_checkpoint,
        allow_unfinished=arguments.allow_unfinished,
        isolation=arguments.isolation,
        labels=arguments.labels,
        level_of_theory=arguments.level_of_theory,
        trained_on=arguments.trained_on,
        protocol=arguments.protocol,
        base=arguments.base,
        training_smiles=arguments.training_smiles,
        jobs=_count_or_auto("--jobs", arguments.jobs, "processes"),
        batch_atoms=_count_or_auto("--batch-atoms", arguments.batch_atoms, "atoms"),
        output=arguments.output,
        quiet=arguments.quiet,
    )


def _add_model(group: argparse._ArgumentGroup, *, model_is_required: bool) -> None:
    add = group.add_argument
    what = group.add_mutually_exclusive_group(required=model_is_required)
    what.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="name, checkpoint, or Hub id org/name[@revision][/file]; may be repeated",
    )
    if model_is_required:
        what.add_argument("--method", metavar="DIR_OR_REPO", help="models in task1/ to task4/, as one result")
        add("--name", metavar="NAME", help="method name, with one --model TASK=MODEL per task")
    add("--family", metavar="NAME", help="family of the checkpoint, if unclear from its files")
    add("--calculator", metavar="MODULE:FUNC", help="returns an ASE calculator, for a model of no family")
    add("--head", metavar="NAME", help="readout head of a checkpoint that has several")
    add("--trust-checkpoint", action="store_true", help="load checkpoints that may run code, such as pickles")
    add("--allow-unfinished", action="store_true", help="accept checkpoints whose training was interrupted")
    add("--level-of-theory", metavar="LEVEL", help="level of the training labels, if no file states it")
    add("--trained-on", metavar="TASK", help="the model's only training task, if no file states it")
    add(
        "--protocol",
        choices=get_args(TrainingProtocol),
        metavar="HOW",
        help="from-scratch or fine-tuned (the default with --base)",
    )
    add("--base", metavar="MODEL", help="checkpoint before fine-tuning, such as org/model")
    add(
        "--training-smiles",
        type=Path,
        metavar="FILE",
        help="SMILES of its training molecules; overlap is named",
    )


def _add_data(group: argparse._ArgumentGroup, labels: str) -> None:
    add = group.add_argument
    automatic = f" or {AUTO}: the model's own or nearest" if labels == AUTO else ""
    add(
        "--dataset",
        default=DEFAULT_DATASET,
        metavar="DATASET",
        help="mini, a folder, org/name[@revision] or hf://datasets/... (default: mini)",
    )
    add(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        metavar="TASK",
        help="task1 to task4, or own (default: the model's or all)",
    )
    add(
        "--labels",
        choices=(*LEVELS, AUTO),
        default=labels,
        metavar="LEVEL",
        help=f"{', '.join(LEVELS)}{automatic} (default: {labels})",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--device",
        default=AUTO,
        metavar="DEVICE",
        help="cpu, cuda, cuda:N or auto (default: auto)",
    )
    add(
        "--dtype",
        choices=get_args(DtypeName),
        metavar="DTYPE",
        help="float32 or float64 (default: that of the checkpoint)",
    )
    add("--compile", action="store_true", help="compile a network of graph-pes; pays off beyond 20,000 structures")
    add(
        "--batch-atoms",
        default=AUTO,
        metavar="N",
        help="atoms per batch, or auto (default: auto)",
    )
    add(
        "--jobs",
        default=AUTO,
        metavar="N",
        help="processes on a CPU, or auto (default: auto)",
    )
    add(
        "--threads",
        type=int,
        default=usable_cpus(),
        metavar="N",
        help="CPU threads of physics methods (default: all cores)",
    )
    add(
        "--isolation",
        choices=get_args(Isolation),
        default=AUTO,
        metavar="WHEN",
        help="own process: auto, always, never, strict (confined)",
    )


def _count_or_auto(option: str, text: str, what: str) -> int | None:
    """The given number; `None` for `auto`."""
    if text == AUTO:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UsageError(f"{option} {text}; expected a number of {what}, 1 or more, or {AUTO}")
    return int(text)

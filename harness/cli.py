"""The command line: `python -m harness --model MODEL`, and the commands beside it."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import IncompleteError, MlipOodError, UsageError
from dataset_builders.core.hub.calls import require_login
from dataset_builders.core.printable import print_json
from dataset_builders.tasks.regions import TASKS
from harness.core.potential import DtypeName, Isolation, LoadOptions, TrainingProtocol
from harness.models.registry import readers
from harness.trust.trusted_files import LIST_VARIABLE, trusted_files, trusted_list

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.evaluation.run import FinishedRun, RunOptions
    from harness.models.registry import ModelSource
    from harness.results.result import RunResult

AUTO: Final = "auto"
CALCULATORS: Final = "ase"
"""Family of what `--calculator` makes."""
DEFAULT_DATASET: Final = "mini"
DEFAULT_OUTPUT: Final = Path("results")

_EXIT_CODES: Final = """\
exit codes:
  0  done
  1  unexpected error (please report it)
  2  usage: unknown task, model or option value
  3  data: absent, corrupt or not as the schema says
  4  model: absent from the Hub, cannot be loaded, or lacks an element of the molecules
  5  incomplete: some structures failed; the result lists them and has no score
  6  environment: a missing package, no network, an unwritable folder
  130  interrupted; the same command goes on from finished work

Errors come as one block on standard error; MLIP_OOD_TRACEBACK=1 adds the traceback.
"""

_COMMANDS: Final = """\
other commands:
  python -m harness compare ...          models against each other, on the same molecules
  python -m harness report RUN_DIR ...   metrics, table and result again, without the model
  python -m harness push RUN_DIR ...     send results to the model's repo on the Hub
  python -m harness retract RUN_DIR ...  take results back that were sent
  python -m harness leaderboard          rank what has been published about the benchmark
  python -m harness train --help         train a model on the training molecules of one task
  python -m harness study --help         the table of results: train and measure all its rows
  python -m harness env --help           environments of their own for families of models

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Libraries below say what they leave out or do again through logging.
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.addLevelName(logging.WARNING, "warning")
    return exit_code_of(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name == "report":
        return _report(_report_parser().parse_args(rest))
    if name == "compare":
        return _compare(_parser(comparing=True).parse_args(rest))
    command = _command(name)
    return _evaluate(_parser().parse_args(arguments)) if command is None else command(rest)


def _command(name: str) -> Callable[[Sequence[str]], int] | None:
    """The command of a name, whose libraries are imported only if it is used."""
    match name:
        case "train":
            return _train
        case "study":
            from harness.study.command import main as study

            return study
        case "env":
            from harness.worker.command import main as env

            return env
        case "push" | "retract" | "leaderboard":
            return _about_published_results(name)
    return None


def _about_published_results(name: str) -> Callable[[Sequence[str]], int]:
    if name == "push":
        from model_cards.publishing.push_command import main as push

        return push
    if name == "retract":
        from model_cards.publishing.retract_command import main as retract

        return retract
    from model_cards.leaderboard.command import main as leaderboard

    return leaderboard


def _train(arguments: Sequence[str]) -> int:
    from harness.train.command import main as train
    from harness.train.options import folder_of
    from harness.train.options import parser as options
    from model_cards.cards.model_card import write_card

    code = train(arguments)
    write_card(folder_of(options().parse_args(arguments)))
    return code


def _parser(*, comparing: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness compare" if comparing else "python -m harness",
        description="Compare models with the first one, on the same molecules: models to evaluate, runs, or both."
        if comparing
        else "Measure potentials on molecules like those of training and on unseen combinations of their parts.",
        epilog=_EXIT_CODES if comparing else _COMMANDS + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if comparing:
        parser.add_argument("run", nargs="*", type=Path, metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        required=not comparing,
        metavar="MODEL",
        help="a built-in name (gfn2-xtb, gfn1-xtb, mmff94, zero, reference); a checkpoint here; or one on the Hub, "
        "org/name[@revision][/file]; repeat to compare several",
    )
    parser.add_argument(
        "--family",
        metavar="NAME",
        help=f"family of the checkpoints, where their files do not tell it: {' '.join(readers())}",
    )
    parser.add_argument(
        "--calculator",
        metavar="MODULE:FUNCTION",
        help="function that makes a calculator of ASE, for models of no family here: called with the path that --model "
        "names (or None) and the device; slow, since it computes one structure at a time",
    )
    parser.add_argument(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        metavar="TASK",
        help=f"some of {', '.join(TASKS)}, or of the data set's own (default: the task that the model was trained on, "
        "else all)",
    )
    parser.add_argument(
        "--dataset",
        default=DEFAULT_DATASET,
        metavar="DATASET",
        help="`mini`, the edition that is installed with the harness and needs no network; a folder; a Hub id "
        "org/name[@revision], which is downloaded once; or hf://datasets/org/name[@revision], which is read on the Hub "
        "without a copy here (default: mini)",
    )
    parser.add_argument(
        "--labels",
        choices=(*LEVELS, AUTO),
        default=GFN2.name,
        help="level of theory of the labels; auto: for each model the one that it was trained at, where the data set "
        f"holds it for the tasks asked for, else {GFN2.name}; from the Hub, auto fetches all levels "
        f"(default: {GFN2.name})",
    )
    parser.add_argument(
        "--level-of-theory",
        metavar="LEVEL",
        help="level that the models were trained at, for those whose files do not name it: one of "
        f"{', '.join(LEVELS)}, or any other, such as 'wB97M-V/def2-TZVPD'; the result says that you stated it",
    )
    _add_training_options(parser)
    parser.add_argument(
        "--device", default=AUTO, metavar="DEVICE", help="cpu, cuda, cuda:N, or auto: the first GPU, else the CPU"
    )
    parser.add_argument(
        "--dtype", choices=get_args(DtypeName), help="precision of the arithmetic (default: that of the checkpoint)"
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network, for families that can (graph-pes): minutes at first, then faster",
    )
    parser.add_argument("--head", metavar="NAME", help="readout head of a checkpoint that has several")
    parser.add_argument(
        "--batch-atoms",
        default=AUTO,
        metavar="N",
        help="most atoms in a batch, or auto: 512 on the CPU; on a GPU as many as fit, found by trying (default: auto)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="threads of physics methods (default: all cores)",
    )
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="load checkpoints that run code when they are loaded, such as pickles; without it, only those whose "
        f"sha256 stands in {trusted_list()} ({LIST_VARIABLE} names another file)",
    )
    parser.add_argument(
        "--allow-unfinished",
        action="store_true",
        help="evaluate checkpoints whose training was stopped before its end, which the result then says",
    )
    parser.add_argument(
        "--isolation",
        choices=get_args(Isolation),
        default=AUTO,
        help="whether a model computes in a process of its own: auto, if its checkpoint can run code or its family has "
        "an environment of its own (default: auto)",
    )
    parser.add_argument(
        "--push",
        action="store_true",
        help="send the results to the models' repos on the Hub, as `harness push` does; needs a data set on the Hub",
    )
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="folder of results (default: results)"
    )
    _add_output_options(parser)
    return parser


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    """What a model was trained on, where neither its checkpoint nor a file mlip-ood.json beside it says so."""
    parser.add_argument(
        "--trained-on",
        metavar="TASK",
        help="the models were trained on `train` of this task and on nothing else of the data set, with whatever code: "
        "they are tested on that task alone, and the result says that you stated it; controls are none of them. A file "
        "mlip-ood.json beside a model, which an export writes, says the same and more",
    )
    parser.add_argument(
        "--protocol",
        choices=get_args(TrainingProtocol),
        help="how that training began: with random weights, or with those of --base (default: from-scratch, or "
        "fine-tuned with --base)",
    )
    parser.add_argument("--base", metavar="MODEL", help="the checkpoint that it began with, such as org/model")


def _report_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness report",
        description="Compute metrics, table and result.json again from the predictions of finished runs.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument("--dataset", metavar="DATASET", help="where the data set is now (default: where it was)")
    _add_output_options(parser)
    return parser


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the results as JSON, one a line, and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _evaluate(arguments: argparse.Namespace) -> int:
    runs = _evaluated(arguments)
    if not runs:
        return 0
    code = _show(runs, arguments.output, as_json=arguments.json)
    _push_if_asked(arguments, runs)
    return code


def _evaluated(arguments: argparse.Namespace) -> list["FinishedRun"]:
    """Evaluates the models; the runs are those of the first of several processes, and none in others."""
    batch_atoms = _batch_atoms(arguments.batch_atoms)
    if arguments.threads < 1:
        raise UsageError(f"--threads {arguments.threads}; expected 1 or more")
    if arguments.level_of_theory is not None and not arguments.level_of_theory.strip():
        raise UsageError(f"--level-of-theory is empty; expected a level such as {', '.join(LEVELS)}")
    from harness.evaluation.run import evaluate_model
    from harness.inference.meeting import meeting
    from harness.inference.ranks import current_ranks

    # One meeting, from before the first to after the last model: what serves it cannot be had twice in a command.
    with meeting(current_ranks()) as together:
        datasets, models, options = _resolved(arguments, batch_atoms)
        finished = [evaluate_model(model, datasets, options, together) for model in models]
    return [run for run in finished if run is not None]


def _resolved(
    arguments: argparse.Namespace, batch_atoms: int | None
) -> tuple[tuple["PinnedDataset", ...], list["ModelSource"], "RunOptions"]:
    """What the arguments name: data, models and options."""
    from harness.data.dataset import named_tasks
    from harness.data.label_choice import open_labels
    from harness.evaluation.run import RunOptions
    from harness.models.resolve import resolve_model
    from harness.models.training_declaration import statement_of

    statement = statement_of(arguments.trained_on, arguments.protocol, arguments.base)
    datasets = open_labels(arguments.dataset, arguments.labels)
    if statement is not None:
        named_tasks(datasets, [statement.task])
    options = RunOptions(
        tasks=named_tasks(datasets, arguments.task),
        output=arguments.output,
        batch_atoms=batch_atoms,
        load=LoadOptions(
            device=arguments.device,
            dtype=arguments.dtype,
            trust_checkpoint=arguments.trust_checkpoint,
            threads=arguments.threads,
            head=arguments.head,
            calculator=arguments.calculator,
            compile=arguments.compile,
            trusted_files=trusted_files(),
            allow_unfinished=arguments.allow_unfinished,
        ),
        isolation=arguments.isolation,
        level_of_theory=arguments.level_of_theory,
        statement=statement,
        quiet=arguments.quiet,
    )
    # All before any is loaded, since what a checkpoint runs should not be there when a token is used.
    family = arguments.family or (CALCULATORS if arguments.calculator else None)
    models = [resolve_model(text, family) for text in dict.fromkeys(arguments.model)]
    if arguments.push:
        _require_pushable(datasets[0], models)
    return datasets, models, options


def _require_pushable(dataset: "PinnedDataset", models: Sequence["ModelSource"]) -> None:
    """Refuses, before hours of computing, what could not be sent in the end."""
    if dataset.revision is None:
        raise UsageError(
            f"--push sends results on data that everybody can get, and {dataset.id} is on this machine only; "
            "use --dataset org/name@revision"
        )
    if not any(model.revision is not None for model in models):
        raise UsageError(
            "--push sends results to the repos that the models were read from, and none was read from the Hub; "
            "use --model org/name, or send them with `harness push --repo org/name`"
        )
    require_login("pushing")


def _push_if_asked(arguments: argparse.Namespace, runs: Sequence["FinishedRun"]) -> None:
    if not arguments.push:
        return
    from model_cards.publishing.push import PushOptions, push_each

    runs = [run for run in runs if run.result.model.revision is not None]
    try:
        for done in push_each([run.result for run in runs], PushOptions()):
            # What reads JSON from standard output wants nothing else there.
            print(done.text, file=sys.stderr if arguments.json else sys.stdout)
    except MlipOodError as cause:
        kept = " ".join(str(run.directory) for run in runs)
        raise type(cause)(f"{cause}\nThe results are kept; send them with: python -m harness push {kept}") from cause


def _compare(arguments: argparse.Namespace) -> int:
    from harness.inference.ranks import current_ranks
    from harness.report.compare import comparison_documents, comparison_table
    from harness.report.table import console
    from harness.results.result import load_results

    if arguments.labels == AUTO and len(arguments.model) + len(arguments.run) > 1:
        raise UsageError(
            "compare needs all models on the same labels, and --labels auto may give each model its own; name a level"
        )
    earlier = load_results(arguments.run)
    runs = _evaluated(arguments) if arguments.model else []
    if not current_ranks().is_first:
        return 0
    results = [*(run.result for run in runs), *earlier]
    if len(results) < 2:
        raise UsageError(f"{len(results)} results; a comparison needs two or more of --model and RUN_DIR")
    if arguments.json:
        for document in comparison_documents(results):
            print_json(document)
    else:
        if runs:
            _print_table(runs, arguments.output)
        console().print(comparison_table(results))
    _require_no_failures(results)
    _push_if_asked(arguments, runs)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from harness.evaluation.run import evaluate_again

    runs = [evaluate_again(directory, arguments.dataset) for directory in dict.fromkeys(arguments.run)]
    contents = {run.result.dataset.content_hash for run in runs}
    if len(contents) > 1:
        raise UsageError(f"the runs are on {len(contents)} different data sets; a table needs one. Report them apart")
    return _show(runs, runs[0].directory.resolve().parent.parent, as_json=arguments.json)


def _batch_atoms(text: str) -> int | None:
    if text == AUTO:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UsageError(f"--batch-atoms {text}; expected a number of atoms, 1 or more, or {AUTO}")
    return int(text)


def _show(runs: Sequence["FinishedRun"], output: Path, *, as_json: bool) -> int:
    results = [run.result for run in runs]
    if as_json:
        for result in results:
            print_json(result.model_dump(mode="json"))
    else:
        _print_table(runs, output)
    _require_no_failures(results)
    return 0


def _require_no_failures(results: Sequence["RunResult"]) -> None:
    failed = [(result.model.id, sum(task.n_failed for task in result.tasks.values())) for result in results]
    listed = ", ".join(f"{count} of {model}" for model, count in failed if count)
    if listed:
        raise IncompleteError(
            f"structures failed: {listed}; the result lists each with its cause, and such a task has no score. "
            "Nothing of it should be published"
        )


def _print_table(runs: Sequence["FinishedRun"], output: Path) -> None:
    from harness.report.control_gaps import control_gaps
    from harness.report.table import console, report

    terminal = console()
    # With --labels auto, models may be on labels of different levels, which no table may mix.
    for content in dict.fromkeys(run.result.dataset.content_hash for run in runs):
        results = [run.result for run in runs if run.result.dataset.content_hash == content]
        gaps = control_gaps(content, results, output)
        terminal.print(report(results, gaps, terminal.width), markup=False)
    for run in runs:
        terminal.print(f"result: {run.directory / 'result.json'}", markup=False, soft_wrap=True)

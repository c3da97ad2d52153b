"""`python -m harness train`: trains a model on the training molecules of one task and writes a checkpoint folder."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.errors import UsageError
from dataset_builders.levels import GFN2, Level, find_level, level_of_method
from dataset_builders.progress_bar import long_job_bar
from dataset_builders.sole_user import sole_user
from dataset_builders.task_folders import task_in
from dataset_builders.units import MILLI
from harness.checkpoints.added import find_architecture
from harness.checkpoints.controls import CONTROL_ARCHITECTURES, ControlArchitecture
from harness.checkpoints.finished import STATE_FILE
from harness.checkpoints.format import BASELINES, CONFIG_FILE
from harness.potentials.arithmetic import full_precision, neutralise_variables
from harness.potentials.base import LoadOptions
from harness.potentials.standard_output import printing_on_standard_error
from harness.potentials.surroundings import Surroundings, inside
from harness.train.options import baseline_of, folder_of, parser, settings_of
from harness.trusted import trusted_files

if TYPE_CHECKING:
    from harness.train.loop import Run
    from harness.train.record import Origin
    from harness.train.source import TrainingSource
    from harness.train.start import Start


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment does not allow it.
    """
    options = parser().parse_args(argv)
    neutralise_variables()
    for control in CONTROL_ARCHITECTURES:
        if control == (options.arch or "").lower():
            return _train_control(control, options)
    directory = folder_of(options)
    with _sole_training(directory):
        _train(options, directory)
    return 0


def _sole_training(directory: Path) -> AbstractContextManager[int]:
    """Keeps a second training out of a folder; they would take turns to overwrite each other's weights."""
    return sole_user(directory, "training", "choose another --out")


def _train(options: argparse.Namespace, directory: Path) -> None:
    if (directory / CONFIG_FILE).exists() and not (directory / STATE_FILE).exists():
        raise UsageError(f"{directory} holds a finished checkpoint; choose another --out, or delete it first")
    run, origin = _prepared(options, directory)

    from harness.train.loop import train
    from harness.train.network_check import naming_plugin

    with _progress(run) as show, naming_plugin(run):
        train(run, directory, show, lambda run: _after_validation(run, origin, directory))
    _finish(run, origin, directory)


def _train_control(control: ControlArchitecture, options: argparse.Namespace) -> int:
    import torch

    from harness.train.controls import refuse_options_of_networks, train_control
    from harness.train.source import find_training_files

    refuse_options_of_networks(options, parser())
    full_precision()
    torch.set_num_threads(options.threads)
    level = find_level(options.labels)
    source = find_training_files(options.dataset, options.task, level)
    directory = folder_of(options)
    with _sole_training(directory):
        train_control(control, source.directory, options.task, directory, level)
    return 0


def _prepared(options: argparse.Namespace, directory: Path) -> "tuple[Run, Origin]":
    """Reads what the run needs, and builds its network."""
    import torch

    from harness.potentials.device import resolve_device
    from harness.train.baseline import less_baseline
    from harness.train.data import read_training_data
    from harness.train.loop import start_run
    from harness.train.network_check import check_network
    from harness.train.record import Origin
    from harness.train.source import find_training_files

    device = resolve_device(options.device)
    level = find_level(options.labels)
    source = find_training_files(options.dataset, options.task, level)
    start = _start(options, source, level)
    settings = settings_of(options, start, device)
    baseline = baseline_of(options, start)
    torch.set_num_threads(options.threads)
    directory.mkdir(parents=True, exist_ok=True)
    relabel = None if baseline is None else less_baseline(baseline, directory, options.threads)
    energies = None if start is None else start.reference_energies
    data = read_training_data(source.directory, options.task, settings.cutoff, relabel, energies, level)
    origin = {"baseline": baseline, "init": None if start is None else start.record["files"]}
    plugin = find_architecture(settings.architecture).plugin
    if plugin is not None:
        origin["plugin"] = [plugin.package, plugin.version]
        check_network(settings, data)
    if start is None:
        return start_run(settings, data, directory, device, origin), Origin(source, baseline)

    from harness.train.start import on_labels

    data, zero_shot = on_labels(start, data, settings.cutoff, device)
    run = start_run(settings, data, directory, device, origin, start.tensors)
    return run, Origin(source, baseline, start.record, zero_shot)


def _start(options: argparse.Namespace, source: "TrainingSource", level: Level) -> "Start | None":
    if options.init is None:
        return None
    from harness.train.start import load_start

    load = LoadOptions(trust_checkpoint=options.trust_checkpoint, head=options.head, trusted_files=trusted_files())
    task = task_in(source.directory, options.task, level)
    with printing_on_standard_error(), inside(Surroundings(options.init)):
        return load_start(options.init, options.family, load, task)


def _after_validation(run: "Run", origin: "Origin", directory: Path) -> None:
    from harness.checkpoints.format import write_checkpoint
    from harness.checkpoints.networks import network_tensors
    from harness.train.curve import write_curve_table
    from harness.train.record import config_of

    write_curve_table(directory, run.curve)
    if run.best is run.curve[-1]:
        write_checkpoint(directory, config_of(run, origin), network_tensors(run.averaged))


def _finish(run: "Run", origin: "Origin", directory: Path) -> None:
    from harness.checkpoints.format import read_config, write_config
    from harness.train.baseline import baseline_file
    from harness.train.curve import draw_curve, write_curve_table
    from harness.train.record import effort
    from harness.train.source import TRAINING_SPLITS

    write_curve_table(directory, run.curve)
    draw_curve(directory, run.curve, f"{run.settings.architecture} trained on {run.data.task}, validation")
    # The weights are those of the best validation; how long the whole run took is known only now.
    saved = read_config(directory)
    write_config(directory, replace(saved, training={**saved.training, **effort(run, is_finished=True)}))
    for name in (STATE_FILE, *(baseline_file(each, split) for each in BASELINES for split in TRAINING_SPLITS)):
        (directory / name).unlink(missing_ok=True)
    level = level_of_method(run.data.level_of_theory)
    labels = f" --labels {level.name}" if level is not None and level is not GFN2 else ""
    before = f" ({origin.zero_shot[0] / MILLI:.1f} before training)" if origin.zero_shot else ""
    print(
        f"wrote {directory}: validation force MAE {run.best.validation_force_mae / MILLI:.1f} meV/Å{before}, "
        f"energy MAE {run.best.validation_energy_mae / MILLI:.2f} meV per atom, after {run.step} steps"
        f"{', ended early' if run.has_stalled else ''}{_repeated(run)}\n"
        f"evaluate it: python -m harness --model {directory}{labels}"
    )


def _repeated(run: "Run") -> str:
    """How the same weights come about again, where the steps were fitted into a time."""
    if run.settings.budget_minutes is None:
        return ""
    compiling = "always" if run.settings.compile else "never"
    return f"; the same again with --steps {run.n_steps} --compile {compiling} in place of --budget"


@contextmanager
def _progress(run: "Run") -> Iterator[Callable[["Run"], None]]:
    """Shows a bar on standard error; yields the function that moves it."""
    facts = "step {task.fields[step]}, validation {task.fields[error]}"
    with long_job_bar("training", facts) as bar:
        handle = bar.add_task("training", total=1.0, step=run.step, error="-")

        def show(run: "Run") -> None:
            error = f"{run.curve[-1].validation_force_mae / MILLI:.1f} meV/Å" if run.curve else "-"
            if run.curve:
                error += f" (best {run.best.validation_force_mae / MILLI:.1f})"
            bar.update(handle, completed=run.fraction, step=run.step, error=error)

        yield show

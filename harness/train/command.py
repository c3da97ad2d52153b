"""`python -m harness train`: trains a model on the training set of one task and writes a checkpoint folder."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.chemistry.levels import GFN2, Level, find_level, level_of_method
from dataset_builders.core.errors import UsageError
from dataset_builders.core.progress_bar import long_job_bar
from dataset_builders.core.sole_user import sole_user
from dataset_builders.core.units import MILLI
from dataset_builders.folder.task_folders import task_in
from harness.compute.arithmetic import full_precision, neutralise_variables
from harness.core.potential import LoadOptions
from harness.models.detection import CARD_NAME
from harness.networks.added import find_architecture
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES, ControlArchitecture
from harness.networks.finished import STATE_FILE, holds_finished_checkpoint
from harness.train.options import baseline_of, folder_of, parser, settings_of
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.surroundings import Surroundings, inside
from harness.trust.trusted_files import trusted_files

if TYPE_CHECKING:
    from harness.train.checkpoint_record import Origin
    from harness.train.data_source import TrainingSource
    from harness.train.start import Start
    from harness.train.steps import Run


def main(argv: Sequence[str] | None = None, on_trained: Callable[[Path], object] = lambda directory: None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: Arguments of the command.
        on_trained: Called with the folder of each trained model.

    Raises:
        MlipOodError: If the request, the data or the environment is invalid.
    """
    options = parser().parse_args(argv)
    neutralise_variables()
    if options.all_tasks:
        return _train_all(options, on_trained)
    if options.seeds is not None:
        raise UsageError(
            f"--seeds {' '.join(map(str, options.seeds))} without --all-tasks; for one model, give its --seed"
        )
    code = _train_one(options)
    on_trained(folder_of(options))
    return code


def _train_all(options: argparse.Namespace, on_trained: Callable[[Path], object]) -> int:
    from harness.train.all_tasks import require_data, trainings_of

    trainings = trainings_of(options)
    require_data(trainings)
    for number, training in enumerate(trainings, start=1):
        directory = folder_of(training)
        if holds_finished_checkpoint(directory):
            print(f"{directory} is finished ({number} of {len(trainings)})")
        else:
            print(f"training {directory} ({number} of {len(trainings)})", flush=True)
            _train_one(training)
        if not (directory / CARD_NAME).exists():
            on_trained(directory)
    print(f"evaluate the method: python -m harness --method {folder_of(options)}{_labels(find_level(options.labels))}")
    return 0


def _labels(level: Level) -> str:
    return f" --labels {level.name}" if level is not GFN2 else ""


def _train_one(options: argparse.Namespace) -> int:
    for control in CONTROL_ARCHITECTURES:
        if control == (options.arch or "").lower():
            return _train_control(control, options)
    directory = folder_of(options)
    with _sole_training(directory):
        _train(options, directory)
    return 0


def _sole_training(directory: Path) -> AbstractContextManager[int]:
    """Prevents a second training in the same folder; the two would overwrite each other's weights."""
    return sole_user(directory, "training", "choose another --out")


def _train(options: argparse.Namespace, directory: Path) -> None:
    if holds_finished_checkpoint(directory):
        raise UsageError(f"{directory} contains a finished checkpoint; choose another --out, or delete it first")
    run, origin = _prepared(options, directory)

    from harness.train.loop import train
    from harness.train.network_check import naming_plugin

    with _progress(run) as show, naming_plugin(run):
        train(run, directory, show, lambda run: _after_validation(run, origin, directory, options.keep_checkpoints))
    _finish(run, origin, directory)


def _train_control(control: ControlArchitecture, options: argparse.Namespace) -> int:
    import torch

    from harness.train.data_source import find_training_files
    from harness.train.fit_controls import refuse_options_of_networks, train_control

    refuse_options_of_networks(options, parser())
    full_precision()
    torch.set_num_threads(options.threads)
    level = find_level(options.labels)
    source = find_training_files(options.dataset, options.task, level)
    directory = folder_of(options)
    with _sole_training(directory):
        train_control(control, source.directory, options.task, directory, level, options.train_frames)
    return 0


def _prepared(options: argparse.Namespace, directory: Path) -> "tuple[Run, Origin]":
    """Reads the inputs of the run and builds its network."""
    import torch

    from harness.compute.device import resolve_device
    from harness.train.baseline import subtract_baseline
    from harness.train.checkpoint_record import Origin
    from harness.train.data_source import find_training_files
    from harness.train.frame_storage import FrameStorage
    from harness.train.loop import start_run
    from harness.train.network_check import check_network
    from harness.train.task_data import FramePlan, read_training_data

    device = resolve_device(options.device)
    level = find_level(options.labels)
    source = find_training_files(options.dataset, options.task, level)
    start = _start(options, source, level)
    settings = settings_of(options, start, device)
    baseline = baseline_of(options, start)
    torch.set_num_threads(options.threads)
    directory.mkdir(parents=True, exist_ok=True)
    relabel = None if baseline is None else subtract_baseline(baseline, directory, options.threads)
    energies = None if start is None else start.reference_energies
    plan = FramePlan(relabel, settings.train_frames, FrameStorage(options.frames_on_disk, directory))
    data = read_training_data(source.directory, options.task, settings.cutoff, plan, energies, level)
    origin = {"baseline": baseline, "init": None if start is None else start.record["files"]}
    plugin = find_architecture(settings.architecture).plugin
    if plugin is not None:
        origin["plugin"] = [plugin.package, plugin.version]
        check_network(settings, data)
    if start is None:
        return start_run(settings, data, directory, device, origin), Origin(source, baseline)

    from harness.train.start import shift_to_labels

    data, zero_shot = shift_to_labels(start, data, settings.cutoff, device)
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


def _after_validation(run: "Run", origin: "Origin", directory: Path, keeps_all: bool) -> None:
    from harness.networks.checkpoint_format import write_checkpoint
    from harness.networks.tensors import network_tensors
    from harness.train.checkpoint_record import config_of, kept_checkpoint
    from harness.train.curve import write_curve_table

    write_curve_table(directory, run.curve)
    places = [kept_checkpoint(directory, run.step)] if keeps_all else []
    if run.best is run.curve[-1]:
        places.append(directory)
    for place in places:
        write_checkpoint(place, config_of(run, origin), network_tensors(run.averaged))


def _finish(run: "Run", origin: "Origin", directory: Path) -> None:
    from harness.networks.checkpoint_format import CONFIG_FILE, read_config, write_config
    from harness.train.baseline import remove_baseline_files
    from harness.train.checkpoint_record import effort, kept_checkpoint
    from harness.train.curve import draw_curve, write_curve_table

    write_curve_table(directory, run.curve)
    draw_curve(directory, run.curve, f"{run.settings.architecture} trained on {run.data.task}, validation")
    # The saved weights are those of the best validation; the duration of the whole run is only known now.
    for place in (directory, kept_checkpoint(directory, run.step)):
        if (place / CONFIG_FILE).is_file():
            saved = read_config(place)
            write_config(place, replace(saved, training={**saved.training, **effort(run, is_finished=True)}))
    (directory / STATE_FILE).unlink(missing_ok=True)
    remove_baseline_files(directory)
    level = level_of_method(run.data.level_of_theory)
    labels = "" if level is None else _labels(level)
    before = f" ({origin.zero_shot[0] / MILLI:.1f} before training)" if origin.zero_shot else ""
    print(
        f"wrote {directory}: validation force MAE {run.best.validation_force_mae / MILLI:.1f} meV/Å{before}, "
        f"energy MAE {run.best.validation_energy_mae / MILLI:.2f} meV per atom, after {run.step} steps"
        f"{', ended early' if run.has_stalled else ''}{_repeated(run)}\n"
        f"evaluate it: python -m harness --model {directory}{labels}"
    )


def _repeated(run: "Run") -> str:
    """How to reproduce the same weights, if the number of steps was derived from a time budget."""
    if run.settings.budget_minutes is None:
        return ""
    compiling = "always" if run.settings.compile else "never"
    return f"; to reproduce it, use --steps {run.n_steps} --compile {compiling} instead of --budget"


@contextmanager
def _progress(run: "Run") -> Iterator[Callable[["Run"], None]]:
    """Shows a progress bar on standard error; yields the function that updates it."""
    facts = "step {task.fields[step]}, validation {task.fields[error]}"
    with long_job_bar("training", facts) as bar:
        handle = bar.add_task("training", total=1.0, step=run.step, error="-")

        def show(run: "Run") -> None:
            error = f"{run.curve[-1].validation_force_mae / MILLI:.1f} meV/Å" if run.curve else "-"
            if run.curve:
                error += f" (best {run.best.validation_force_mae / MILLI:.1f})"
            bar.update(handle, completed=run.fraction, step=run.step, error=error)

        yield show

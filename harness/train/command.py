"""`python -m harness train`: trains a reference model and writes it as a checkpoint folder."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.errors import UsageError
from dataset_builders.progress_bar import long_job_bar
from dataset_builders.tasks import TASKS, find_task
from dataset_builders.units import MILLI
from harness.checkpoints.controls import CONTROL_ARCHITECTURES
from harness.checkpoints.format import ARCHITECTURES, CONFIG_FILE, CheckpointConfig, NetworkArguments
from harness.train.settings import TrainSettings
from harness.train.state import STATE_FILE

if TYPE_CHECKING:
    from harness.train.loop import Run

DEFAULT_BUDGET: Final = 40.0
"""Minutes, where neither --budget nor --epochs is given."""

PACKAGES: Final = ("graph-pes", "torch", "e3nn", "numpy", "safetensors")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment does not allow it.
    """
    options = parser().parse_args(argv)
    if options.arch in CONTROL_ARCHITECTURES:
        return _train_control(options)
    settings = _settings(options)
    task = find_task(options.task).name
    finished = (options.out / CONFIG_FILE).exists() and not (options.out / STATE_FILE).exists()
    if finished:
        raise UsageError(f"{options.out} holds a finished checkpoint; choose another --out, or delete it first")

    import torch

    from harness.potentials.device import resolve_device
    from harness.train.data import read_training_data
    from harness.train.loop import start_run, train

    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    data = read_training_data(options.dataset, task, settings.arguments.cutoff)
    options.out.mkdir(parents=True, exist_ok=True)
    run = start_run(settings, data, options.out, device)
    with _progress(run) as show:
        train(run, options.out, show, lambda run: _after_validation(run, options.out))
    _finish(run, options.out)
    return 0


def _train_control(options: argparse.Namespace) -> int:
    import torch

    from harness.train.controls import refuse_options_of_networks, train_control

    refuse_options_of_networks(options, parser())
    torch.set_num_threads(options.threads)
    train_control(options.arch, options.dataset, find_task(options.task).name, options.out)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    defaults = TrainSettings(budget_minutes=DEFAULT_BUDGET)
    shape = defaults.arguments
    parser = argparse.ArgumentParser(
        prog="python -m harness train",
        description="Train a model from scratch on the `train` split of one task, choosing by `validation`. "
        "The same command goes on from where an interrupted run stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", type=Path, required=True, metavar="DIR", help="data-set folder")
    add("--task", required=True, help=f"one of {', '.join(TASKS)}")
    add("--out", type=Path, required=True, metavar="DIR", help="checkpoint folder to write")
    add(
        "--arch",
        choices=(*ARCHITECTURES, *CONTROL_ARCHITECTURES),
        default=defaults.architecture,
        help="network or control",
    )
    add("--channels", type=int, default=shape.channels, help="features of an atom")
    add("--radial-features", type=int, default=shape.radial_features, help="functions a distance is expanded in")
    add("--layers", type=int, default=shape.layers, help="rounds of message passing")
    add("--cutoff", type=float, default=shape.cutoff, help="distance of neighbours, Å")
    add("--batch-size", type=int, default=defaults.batch_size, help="frames of a step")
    add("--learning-rate", type=float, default=defaults.learning_rate, help="peak of the schedule")
    add("--energy-weight", type=float, default=defaults.energy_weight, help="weight of the energy per atom in the loss")
    add("--ema-decay", type=float, default=defaults.ema_decay, help="of the running mean of the weights")
    add("--validations", type=int, default=defaults.validations, help="validations in the whole run")
    add("--compile", action="store_true", help="compile the step: minutes at first, then up to four times as fast")
    length = parser.add_mutually_exclusive_group()
    # Suppressed, so that the help does not call them None by default.
    length.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        default=argparse.SUPPRESS,
        help=f"wall-clock time, without reading of data and compiling (default: {DEFAULT_BUDGET:g})",
    )
    length.add_argument(
        "--epochs", type=int, default=argparse.SUPPRESS, help="passes over the training frames, instead of a time"
    )
    add("--seed", type=int, default=defaults.seed, help="of the weights and of the order of the frames")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--threads", type=int, default=1, help="CPU threads; small batches gain nothing from a second one")
    return parser


def _settings(options: argparse.Namespace) -> TrainSettings:
    if options.threads < 1:
        raise UsageError(f"--threads {options.threads}; expected 1 or more")
    epochs = getattr(options, "epochs", None)
    return TrainSettings(
        architecture=options.arch,
        arguments=NetworkArguments(options.channels, options.radial_features, options.layers, options.cutoff),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        budget_minutes=getattr(options, "budget", None if epochs is not None else DEFAULT_BUDGET),
        epochs=epochs,
        seed=options.seed,
        energy_weight=options.energy_weight,
        ema_decay=options.ema_decay,
        validations=options.validations,
        compile=options.compile,
    )


def _after_validation(run: "Run", directory: Path) -> None:
    from harness.checkpoints.format import write_checkpoint
    from harness.checkpoints.networks import network_tensors
    from harness.train.curve import write_curve_table

    write_curve_table(directory, run.curve)
    if run.best is run.curve[-1]:
        write_checkpoint(directory, _config(run), network_tensors(run.averaged))


def _finish(run: "Run", directory: Path) -> None:
    from harness.checkpoints.format import read_config, write_config
    from harness.train.curve import draw_curve, write_curve_table

    write_curve_table(directory, run.curve)
    draw_curve(directory, run.curve, f"{run.settings.architecture} trained on {run.data.task}, validation")
    # The weights are those of the best validation; how long the whole run took is known only now.
    saved = read_config(directory)
    write_config(directory, replace(saved, training={**saved.training, **_effort(run)}))
    (directory / STATE_FILE).unlink(missing_ok=True)
    print(
        f"wrote {directory}: validation force MAE {run.best.validation_force_mae / MILLI:.1f} meV/Å, energy MAE "
        f"{run.best.validation_energy_mae / MILLI:.2f} meV per atom, after {run.step} steps"
    )


def _effort(run: "Run") -> dict[str, float | int]:
    return {
        "steps": run.step,
        "epochs_done": round(run.step / run.steps_per_epoch, 2),
        "wall_time_s": round(run.curve[-1].seconds, 1),
    }


def _config(run: "Run") -> CheckpointConfig:
    data = run.data
    settings = run.settings.as_dict()
    for name in ("architecture", "arguments"):
        del settings[name]
    return CheckpointConfig(
        architecture=run.settings.architecture,
        arguments=run.settings.arguments,
        elements=data.elements,
        reference_energies=data.reference_energies,
        dtype="float32",
        trained_on=data.task,
        protocol="from-scratch",
        level_of_theory=data.level_of_theory,
        training={
            "settings": settings,
            "optimizer": "Adam",
            "schedule": "linear rise, then half a cosine",
            "loss": "mean length of the force error (eV/Å) + energy_weight x mean |energy error| per atom (eV)",
            "edition": data.edition,
            "data_hash": data.content_hash,
            "n_molecules": data.n_molecules,
            "n_frames": data.train.n_frames,
            "n_validation_frames": data.validation.n_frames,
            "reference_rank": data.reference_rank,
            "best_validation": asdict(run.best),
            **_effort(run),
            "device": str(run.device),
            "versions": {name: version(name) for name in PACKAGES},
        },
    )


@contextmanager
def _progress(run: "Run") -> Iterator[Callable[["Run"], None]]:
    """Shows a bar on standard error; yields the function that moves it."""
    facts = "step {task.fields[step]}, validation {task.fields[error]}"
    with long_job_bar("training", facts) as bar:
        handle = bar.add_task("training", total=1.0, step=run.step, error="-")

        def show(run: "Run") -> None:
            error = f"{run.best.validation_force_mae / MILLI:.1f} meV/Å" if run.curve else "-"
            bar.update(handle, completed=run.fraction, step=run.step, error=error)

        yield show

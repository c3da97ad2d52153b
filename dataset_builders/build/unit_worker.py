"""Code that runs in a worker of any engine: checks of its environment, then a unit or a probe."""

import time
from dataclasses import dataclass
from pathlib import Path

from dataset_builders.build.unit_store import check_worker
from dataset_builders.build.work_units import UnitReport, WorkUnit, label_burst, make_unit
from dataset_builders.chemistry.sampling import Recipe, sample_burst
from dataset_builders.engines.threads import require_one_thread
from dataset_builders.tasks.editions import TrajectoryName
from dataset_builders.tasks.words import Word, parse_word


@dataclass(frozen=True, slots=True)
class Probe:
    """Measured cost of one burst.

    Attributes:
        word: The molecule.
        cpu_seconds: CPU time.
        seconds: Wall-clock time; longer than the CPU time if cores are shared.
    """

    word: Word
    cpu_seconds: float
    seconds: float


def make_unit_safely(unit: WorkUnit, work_dir: Path, seed: int) -> UnitReport:
    """Computes a unit on one thread, for a work folder of the same build.

    Raises:
        SetupError: If the worker uses more threads, does not see the work folder, or has other programs than the frames
            in it.
    """
    require_one_thread()
    check_worker(work_dir, seed)
    return make_unit(unit, work_dir, seed)


def probe_burst(word: Word, trajectory: TrajectoryName, burst: int, seed: int) -> Probe:
    """Computes and labels one burst as in a unit, and times it; writes nothing.

    Raises:
        SetupError: If the worker uses more than one thread.
        ConvergenceError: If the molecule fails.
    """
    require_one_thread()
    _import_everything()
    started, cpu_started = time.perf_counter(), time.thread_time()
    frames = sample_burst(word.smiles, word.molecule_id, trajectory, burst, seed).positions
    label_burst(word, trajectory, burst, frames)
    return Probe(word, time.thread_time() - cpu_started, time.perf_counter() - started)


def _import_everything() -> None:
    """Computes a few steps for methane, so that one-time start-up costs do not count in the timed burst."""
    methane = parse_word("H-1-H")
    few_steps = Recipe(seed_steps=1, burst_steps=1, frame_interval=1)
    sample_burst(methane.smiles, methane.molecule_id, "primary", 0, 0, few_steps)

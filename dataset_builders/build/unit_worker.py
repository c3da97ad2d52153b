"""What runs in a worker, on whichever engine: checks of its surroundings, then a unit or a probe."""

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
    """What one burst cost.

    Attributes:
        word: Its molecule.
        cpu_seconds: Processor time.
        seconds: Time by the clock; more than the processor time where others compute too.
    """

    word: Word
    cpu_seconds: float
    seconds: float


def make_unit_safely(unit: WorkUnit, work_dir: Path, seed: int) -> UnitReport:
    """Makes a unit on one thread, in a work folder that belongs to the same build.

    Raises:
        SetupError: If the worker computes on more threads, does not see the work folder, or has other
            programs than the frames in it were made with.
    """
    require_one_thread()
    check_worker(work_dir, seed)
    return make_unit(unit, work_dir, seed)


def probe_burst(word: Word, trajectory: TrajectoryName, burst: int, seed: int) -> Probe:
    """Makes and labels one burst, as a unit does, and times it; writes nothing.

    Raises:
        SetupError: If the worker computes on more than one thread.
        ConvergenceError: If the molecule fails.
    """
    require_one_thread()
    _import_everything()
    started, cpu_started = time.perf_counter(), time.thread_time()
    frames = sample_burst(word.smiles, word.molecule_id, trajectory, burst, seed).positions
    label_burst(word, trajectory, burst, frames)
    return Probe(word, time.thread_time() - cpu_started, time.perf_counter() - started)


def _import_everything() -> None:
    """Makes a burst of methane of a few steps: what a worker does once would be a large part of a burst."""
    methane = parse_word("H-1-H")
    few_steps = Recipe(seed_steps=1, burst_steps=1, frame_interval=1)
    sample_burst(methane.smiles, methane.molecule_id, "primary", 0, 0, few_steps)

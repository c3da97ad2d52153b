"""Estimates the cost of labels at another level of theory from the time of a few labels, which are kept."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.chemistry.dft import uses_gpu
from dataset_builders.chemistry.labels import compute_label
from dataset_builders.chemistry.levels import Level
from dataset_builders.core.errors import ConvergenceError
from dataset_builders.core.terminal import UNBOUNDED, WIDEST_TEXT, wrapped
from dataset_builders.core.terminal_table import text_table
from dataset_builders.core.whole_folder import settle_all
from dataset_builders.engines.choice import OpenPool
from dataset_builders.engines.probing import (
    BYTES_PER_ATOM,
    NO_RATE,
    Rate,
    Timing,
    number_of_probes,
    rate_of,
    results_of,
    sample_by_cost,
    wall_time_title,
)
from dataset_builders.engines.workers import Pool
from dataset_builders.relabel.frames_to_label import (
    Frame,
    FrameList,
    RelabelSettings,
    frames_of_task,
    frames_to_label,
    spooled_frames,
)
from dataset_builders.relabel.label_progress import label_progress
from dataset_builders.relabel.label_store import KeyArray, found_in, label_file
from dataset_builders.relabel.relabelled_edition import (
    check_replaced,
    check_worker,
    label_folder,
    label_frame,
    missing_of,
)

MIN_PROBES: Final = 8
"""Minimum number of timed frames."""


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """The plan for one or several configurations.

    Attributes:
        name: Name of the configuration.
        n_frames: Number of frames.
        n_missing: Number of frames without a label.
        missing_cost: Estimated cost of these frames.
        n_bytes: Estimated size of its files.
    """

    name: str
    n_frames: int
    n_missing: int
    missing_cost: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class RelabelPlan:
    """The plan of a relabelling.

    Attributes:
        configs: Each configuration separately; shared frames count in each of them.
        together: All configurations, each frame once.
        rate: Measured rate of the probe.
        workers: Number of workers; `None` if the engine does not report it.
        on_gpu: Whether a GPU computes; the estimate is then in GPU-hours.
    """

    configs: tuple[ConfigPlan, ...]
    together: ConfigPlan
    rate: Rate
    workers: int | None
    on_gpu: bool

    @property
    def hours(self) -> float:
        """Core-hours or GPU-hours of the missing labels."""
        return self._hours(self.together)

    def text(self, width: int = UNBOUNDED) -> str:
        """The plan for the terminal.

        Args:
            width: Columns of the terminal; unbounded where the text is part of a message.
        """
        hours, wall = "GPU-hours" if self.on_gpu else "core-hours", wall_time_title(self.workers)
        header = ("config", "frames", "done", "to do", hours, wall, "MB")
        rows = [*self.configs, self.together] if len(self.configs) > 1 else self.configs
        table = text_table(header, [self._row(row) for row in rows], width)
        return "\n".join([table, "", *wrapped(self._note(), min(width, WIDEST_TEXT))])

    def _hours(self, plan: ConfigPlan) -> float:
        return plan.missing_cost * (self.rate.seconds if self.on_gpu else self.rate.cpu_seconds) / 3600

    def _row(self, plan: ConfigPlan) -> tuple[str, ...]:
        return (
            plan.name,
            f"{plan.n_frames:,}",
            f"{plan.n_frames - plan.n_missing:,}",
            f"{plan.n_missing:,}",
            f"{self._hours(plan):,.3g}",
            self.rate.wall_time(plan.missing_cost, self.workers),
            f"{plan.n_bytes / 1e6:,.1f}",
        )

    def _note(self) -> str:
        if not self.rate.timings:
            return "no label is missing: the configurations are written from finished labels"
        shared = "\nframes shared by configurations are labelled once; the last line counts them once"
        return self.rate.text("labels, which are kept,") + (shared if len(self.configs) > 1 else "")


def plan_relabel(settings: RelabelSettings, open_pool: OpenPool) -> RelabelPlan:
    """Counts finished labels, then computes, times and keeps a few missing ones; writes no configuration.

    Args:
        settings: Relabelling settings.
        open_pool: The workers that would compute.

    Raises:
        UsageError: If more frames are requested than exist, or none of a required split, or a configuration would lack
            frames of the one that it would replace.
        DataError: If the source is absent or corrupt.
        ConvergenceError: If a frame of the probe fails.
        SetupError: If the workers cannot be reached or are not suitable.
    """
    settle_all(settings.source)
    frames = frames_to_label(settings)
    check_replaced(settings)
    missing = missing_of(frames, settings)
    rate, workers = NO_RATE, None
    if len(missing):
        label_folder(settings).mkdir(parents=True, exist_ok=True)
        with open_pool() as pool:
            rate, workers = probe_rate(missing, settings, pool), pool.workers
    left = np.sort(missing_of(missing, settings).keys)
    configs = tuple(
        _config_plan(settings.level.config(task.name), frames_of_task(settings, task), left) for task in settings.tasks
    )
    on_gpu = settings.level.dft is not None and uses_gpu()
    return RelabelPlan(configs, _config_plan("together", frames, left), rate, workers, on_gpu)


def probe_rate(missing: FrameList, settings: RelabelSettings, pool: Pool) -> Rate:
    """Labels a sample of frames on all workers at once, and times them."""
    count = number_of_probes(pool, MIN_PROBES)
    costs = missing.costs
    by_cost = np.lexsort((missing.keys, costs)).tolist()
    drawn = list(sample_by_cost(by_cost, count, lambda index: float(costs[index])))
    # The most expensive frames first, so that no worker waits for another at the end.
    chosen = list(dict.fromkeys(drawn[::-1]))
    sample = missing.take(np.array(chosen, np.intp))
    with spooled_frames(settings, sample) as frame:
        calls = [(time_label, frame(index), settings.level, label_folder(settings)) for index in range(len(sample))]
    with label_progress(len(sample), float(sample.costs.sum())) as count_label:
        results = results_of(pool, calls, lambda timing: count_label(1, timing.cost))
    timings = dict(zip(chosen, results, strict=True))
    # With few frames, one may be drawn twice; it then counts twice.
    return rate_of([timings[index] for index in drawn])


def time_label(frame: Frame, level: Level, folder: Path) -> Timing:
    """Labels a frame in the same way as a build, and times it; runs in a worker.

    Raises:
        SetupError: As `check_worker` does.
        ConvergenceError: If the frame fails.
    """
    check_worker(level, folder)
    # One-time work, such as imports, would be a large part of the time of a label.
    compute_label(level, np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]]))
    started, cpu_started = time.perf_counter(), time.thread_time()
    try:
        with label_file(folder) as add:
            label_frame(frame, level, add)
    except ConvergenceError as cause:
        raise ConvergenceError(f"{frame.name}: {cause}") from cause
    return Timing(
        len(frame.atomic_numbers), frame.cost, time.thread_time() - cpu_started, time.perf_counter() - started
    )


def _config_plan(name: str, frames: FrameList, left: KeyArray) -> ConfigPlan:
    is_left = found_in(left, frames.keys)
    return ConfigPlan(
        name=name,
        n_frames=len(frames),
        n_missing=int(is_left.sum()),
        missing_cost=float(frames.costs[is_left].sum()),
        n_bytes=BYTES_PER_ATOM * float(frames.n_atoms.sum()),
    )

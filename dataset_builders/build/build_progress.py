"""Progress bar of a build: finished work, rate and remaining time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dataset_builders.build.cost import n_frames, unit_cost
from dataset_builders.build.work_units import UnitReport, WorkUnit
from dataset_builders.core.progress_bar import long_job_bar


@contextmanager
def build_progress(units: Sequence[WorkUnit]) -> Iterator[Callable[[UnitReport], None]]:
    """Shows a bar on standard error while units are computed; yields the function that counts a unit.

    Units differ in cost by a factor of ten. The bar advances by the estimated cost, so that the remaining time is right
    from the start; the rate is in frames.
    """
    from rich.console import Console

    console = Console(stderr=True)
    facts = "{task.fields[frames]} frames, {task.fields[rate]:.2f} frames/s"
    with long_job_bar("building", facts, console) as bar:
        handle = bar.add_task("building", total=sum(unit_cost(unit) for unit in units), frames=0, rate=0.0)

        def count(report: UnitReport) -> None:
            for retry in report.retries:
                console.print(f"retried with a new seed: {retry}", highlight=False)
            task = bar.tasks[0]
            frames = task.fields["frames"] + (0 if report.error else n_frames(report.unit))
            rate = frames / max(task.elapsed or 0.0, 1e-9)
            bar.update(handle, advance=unit_cost(report.unit), frames=frames, rate=rate)

        yield count

"""The progress bar of labelling."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dataset_builders.core.progress_bar import long_job_bar


@contextmanager
def label_progress(n_frames: int, total_cost: float) -> Iterator[Callable[[int, float], None]]:
    """Shows a progress bar on standard error; yields a function that counts labelled frames and their cost."""
    facts = "{task.fields[frames]} of {task.fields[n_frames]} frames"
    with long_job_bar("labelling", facts) as bar:
        handle = bar.add_task("labelling", total=total_cost, frames=0, n_frames=n_frames)

        def count(frames: int, cost: float) -> None:
            bar.update(handle, advance=cost, frames=bar.tasks[0].fields["frames"] + frames)

        yield count

"""The progress bar of an evaluation: structures done, structures per second, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

Source: TypeAlias = Literal["computed", "resumed"]
OnStructures: TypeAlias = Callable[[int, Source], None]
"""Called with a number of structures and whether they were computed now or found on disk."""


def no_progress(_: int, __: Source) -> None:
    """Shows nothing."""


@contextmanager
def prediction_progress(model_id: str, n_structures: int, *, quiet: bool) -> Iterator[OnStructures]:
    """Shows a bar on standard error; yields the function that counts structures.

    Structures found on disk advance the bar but not the rate, so that the time left is correct after a
    restart. If standard error is not a terminal, only the final line is written.
    """
    if quiet:
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=Console(stderr=True),
    ) as bar:
        handle = bar.add_task(model_id, total=n_structures, rate="")
        computed = 0

        def count(structures: int, source: Source) -> None:
            nonlocal computed
            task = bar.tasks[0]
            if source == "resumed":
                bar.reset(handle, completed=int(task.completed) + structures, rate="found on disk")
                return
            computed += structures
            rate = computed / max(task.elapsed or 0.0, 1e-9)
            bar.update(handle, advance=structures, rate=f"{rate:.0f} structures/s")

        yield count

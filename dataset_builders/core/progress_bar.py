"""The progress bar of work that takes minutes to days."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def long_job_bar(title: str, facts: str, console: "Console | None" = None) -> "Progress":
    """A bar on standard error with the share that is done, facts, the time spent and the time left.

    Args:
        title: What is being done.
        facts: Format of the facts, from `task.fields`.
        console: Where to draw it, instead of a console of its own.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(facts),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console or Console(stderr=True),
    )

"""Progress bar for work that takes minutes to days."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def long_job_bar(title: str, facts: str, console: "Console | None" = None) -> "Progress":
    """A bar on standard error with the finished fraction, facts, the elapsed and the remaining time.

    Args:
        title: Name of the work.
        facts: Format of the facts, from `task.fields`.
        console: Console to draw on; a new one by default.
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

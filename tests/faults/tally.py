"""What became of the faults of one kind: the counts that are printed, and what was lost."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """The counts of one kind of fault, for one phase, file or case.

    Attributes:
        name: The phase, file or case.
        counts: How often the fault struck and what came of it, by the title of the column.
        struck: Columns of the faults themselves.
        needed: Further columns that must not be zero.
        faults: What was lost, or went on as if nothing had happened.
        skipped: Why the fault could not be tried here; empty if it was.
        seconds: Time of an undisturbed run, or of the case.
    """

    name: str
    counts: dict[str, int]
    struck: tuple[str, ...]
    needed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    skipped: str = ""
    seconds: float = 0.0

    @property
    def n_struck(self) -> int:
        """Number of faults."""
        return sum(self.counts[column] for column in self.struck)

    def add(self, column: str, number: int = 1) -> None:
        """Counts something."""
        self.counts[column] += number

    def lost(self, faults: Iterable[str]) -> None:
        """Notes what was lost."""
        self.faults += tuple(faults)

    def problems(self) -> list[str]:
        """What makes the run fail: what was lost, a fault that could not be tried, and a count that is zero."""
        if self.skipped:
            return [f"{self.name}: not tried here: {self.skipped}"]
        zero = [column for column in (*self.struck, *self.needed) if not self.counts[column]]
        return [f"{self.name}: {problem}" for problem in (*self.faults, *(f"{column}: 0" for column in zero))]

    def line(self) -> str:
        """Its line of the table."""
        if self.skipped:
            return f"{self.name:34}  not tried here: {self.skipped}"
        numbers = "".join(f"{number:{len(column) + 2}}" for column, number in self.counts.items())
        return f"{self.name:34}{numbers}{self.seconds:8.1f}  {len(self.faults) or 'nothing'}"

    def heading(self) -> str:
        """The heading of a table that begins with it."""
        return f"{'':34}{''.join(f'  {column}' for column in self.counts)}       s  lost"

"""What became of the faults of one kind: the counts that are printed, and what was lost."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """The counts of one kind of fault, for one phase or case.

    Attributes:
        name: The phase or case.
        counts: How often the fault struck and what came of it, by the title of the column. None of those in `needed`
            may be zero.
        needed: Columns that show that the fault struck.
        faults: What was lost, or went on as if nothing had happened.
        skipped: Why the fault could not be tried here; empty if it was.
    """

    name: str
    counts: dict[str, int]
    needed: tuple[str, ...]
    faults: tuple[str, ...] = ()
    skipped: str = ""
    seconds: float = field(default=0.0)

    def add(self, column: str, number: int = 1) -> None:
        """Counts something."""
        self.counts[column] += number

    def lost(self, faults: Iterable[str]) -> None:
        """Notes what was lost."""
        self.faults += tuple(faults)

    def problems(self) -> list[str]:
        """What makes the run fail: what was lost, a fault that could not be tried, and a fault that never struck."""
        if self.skipped:
            return [f"{self.name}: not tried here: {self.skipped}"]
        never = [f"{self.name}: {column}: 0" for column in self.needed if not self.counts[column]]
        return [*(f"{self.name}: {fault}" for fault in self.faults), *never]

    def line(self) -> str:
        """Its line of the table."""
        if self.skipped:
            return f"{self.name:36}  not tried here: {self.skipped}"
        numbers = "".join(f"{number:{len(column) + 2}}" for column, number in self.counts.items())
        return f"{self.name:36}{numbers}  {len(self.faults) or 'nothing'}"

    def heading(self) -> str:
        """The heading of a table that begins with it."""
        return f"{'':36}{''.join(f'  {column}' for column in self.counts)}  lost"

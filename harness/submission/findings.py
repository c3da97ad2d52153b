"""What the check of an entry found: proved, only stated, for a human to look at, or wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from harness.results.result import RunResult

Kind = Literal["fault", "proved", "stated", "look"]
"""`fault`: the entry must not be merged. `proved`: it follows from the files and the data set. `stated`: the word of
who submits it. `look`: a human has to judge it."""

KINDS: Final[tuple[Kind, ...]] = ("fault", "proved", "stated", "look")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a reviewer.

    Attributes:
        kind: How far it can be relied on.
        text: What was found; text of others in it is still to be escaped.
        run: The run that it is about; `None` for the entry as a whole.
        is_incomplete: Whether it is a fault since structures failed.
    """

    kind: Kind
    text: str
    run: str | None = None
    is_incomplete: bool = False


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run of an entry, with the numbers that were computed here from its predictions.

    Attributes:
        run_id: Name of its folder.
        model_hash: sha256 over family, files and readout head of its model.
        result: The numbers.
    """

    run_id: str
    model_hash: str
    result: RunResult


@dataclass(frozen=True, slots=True)
class EntryReport:
    """What was found about an entry.

    Attributes:
        place: The folder, as it was named.
        entry_id: Hash of its runs; `None` where its document cannot be read.
        runs: Those whose numbers could be computed.
        findings: In order of their discovery.
    """

    place: str
    entry_id: str | None
    runs: tuple[CheckedRun, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Why it must not be merged; empty where it may be."""
        return self.of_kind("fault")

    def of_kind(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def with_findings(self, findings: Iterable[Finding]) -> "EntryReport":
        """The same report with more findings."""
        return EntryReport(self.place, self.entry_id, self.runs, (*self.findings, *findings))

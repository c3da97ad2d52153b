"""The findings of the check of an entry: proved, only stated, to be judged by a reviewer, or wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from harness.results.result import RunResult

Kind = Literal["fault", "proved", "stated", "look"]
"""`fault`: the entry must not be merged. `proved`: it follows from the files and the data set. `stated`: only the
submitter claims it. `look`: a reviewer must judge it."""

KINDS: Final[tuple[Kind, ...]] = ("fault", "proved", "stated", "look")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a reviewer.

    Attributes:
        kind: Its reliability.
        text: The finding; untrusted text in it is not yet escaped.
        run: The run concerned; `None` for the entry as a whole.
        is_incomplete: Whether it is a fault because structures failed.
    """

    kind: Kind
    text: str
    run: str | None = None
    is_incomplete: bool = False


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run of an entry, with the numbers recomputed from its predictions.

    Attributes:
        run_id: Name of its folder.
        model_hash: sha256 over family, files and readout head of its model.
        result: The recomputed numbers.
    """

    run_id: str
    model_hash: str
    result: RunResult


@dataclass(frozen=True, slots=True)
class EntryReport:
    """The report on an entry.

    Attributes:
        place: The folder, as given.
        entry_id: Hash of its runs; `None` if its document cannot be read.
        runs: Runs whose numbers could be recomputed.
        findings: Findings in order of discovery.
    """

    place: str
    entry_id: str | None
    runs: tuple[CheckedRun, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Reasons not to merge it; empty if it may be merged."""
        return self.of_kind("fault")

    def of_kind(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def with_findings(self, findings: Iterable[Finding]) -> "EntryReport":
        """A copy of the report with more findings."""
        return EntryReport(self.place, self.entry_id, self.runs, (*self.findings, *findings))

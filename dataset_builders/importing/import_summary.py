"""The report of an import."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.certify.row_checks import Problem
from dataset_builders.core.terminal import UNBOUNDED, paragraphs
from dataset_builders.core.terminal_table import text_table
from dataset_builders.folder.provenance import ImportRecord
from dataset_builders.tasks.editions import SplitName

PROBLEMS_SHOWN: Final = 50
_SKIPPED_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Outcome of an import.

    Attributes:
        directory: The data-set folder.
        config: Name of the written configuration.
        record: Import record in its metadata.
        n_rows: Number of frames of each split.
        problems: Mismatches.
        skipped: Names of other files in the given folders and repos, which were not read.
    """

    directory: Path
    config: str
    record: ImportRecord
    n_rows: Mapping[SplitName, int]
    problems: tuple[Problem, ...]
    skipped: tuple[str, ...] = ()

    def text(self, width: int = UNBOUNDED) -> str:
        """The report as text for the terminal.

        Args:
            width: Columns of the terminal; unbounded where the text is part of a message.
        """
        rows = [
            (file.name, file.trajectory, file.molecule_id or "none of the task", f"{file.n_frames:,}")
            for file in self.record.files
        ]
        splits = ", ".join(f"{split} {count:,}" for split, count in self.n_rows.items())
        parts = [
            text_table(("file", "trajectory", "molecule", "frames"), rows, width),
            self.problem_text() if self.problems else "",
            self._skipped_text(),
            f"wrote {self.config} into {self.directory}, certified: {splits}. Frames of molecules of the task that "
            f"were left out: {self.record.n_left_out:,}. Secondary frames of OOD molecules are in no split",
        ]
        return "\n\n".join(paragraphs((part for part in parts if part), width))

    def _skipped_text(self) -> str:
        if not self.skipped:
            return ""
        shown = ", ".join(self.skipped[:_SKIPPED_SHOWN])
        more = len(self.skipped) - _SKIPPED_SHOWN
        return f"{len(self.skipped):,} other files were not read: {shown}" + (f" and {more:,} more" if more > 0 else "")

    def problem_text(self) -> str:
        """The mismatches as text."""
        lines = [f"{len(self.problems):,} mismatches:", *(f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN])]
        if len(self.problems) > PROBLEMS_SHOWN:
            lines.append(f"  and {len(self.problems) - PROBLEMS_SHOWN:,} more")
        return "\n".join(lines)

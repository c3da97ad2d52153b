"""Checks entries against each other: a run may occur in only one entry of a repo."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_builders.core.errors import DataError
from harness.submission.entry_document import ENTRY_NAME, ID_LENGTH
from harness.submission.findings import EntryReport, Finding


def entries_in(place: Path) -> list[Path]:
    """The entries in a folder, which may itself be an entry.

    Args:
        place: An entry, or a folder whose subfolders are entries.

    Raises:
        DataError: If it is not a folder, or is empty.
    """
    if not place.is_dir():
        raise DataError(f"{place} is not a folder; expected an entry, or a folder of entries")
    if (place / ENTRY_NAME).exists():
        return [place]
    found = sorted(child for child in place.iterdir() if not child.name.startswith("."))
    if not found:
        raise DataError(f"{place} is empty; expected an entry, which contains {ENTRY_NAME}, or a folder of entries")
    # A file among them is checked too, and refused because it is not an entry.
    return found


def findings_across(reports: Sequence[EntryReport]) -> dict[str, list[Finding]]:
    """Faults of entries relative to each other and to others in the same folder, by place.

    Args:
        reports: Reports of the checked entries.
    """
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    by_runs: defaultdict[str, list[str]] = defaultdict(list)
    by_weights: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for report in reports:
        for run in report.runs:
            by_runs[run.run_id].append(report.place)
            for task in run.result.tasks:
                by_weights[run.model_hash, run.result.dataset.content_hash, task].append(report.place)
        for sibling in _of_same_id(report):
            found[report.place].append(Finding("fault", f"{sibling} next to it is an entry of the same runs"))
    for run_id, places in by_runs.items():
        for place in _of_several(places):
            found[place].append(Finding("fault", f"the run {run_id} occurs in several entries: {_listed(places)}"))
    for (_, _, task), places in by_weights.items():
        for place in _of_several(places):
            text = f"the checkpoint of {task} was measured in several entries: {_listed(places)}"
            found[place].append(Finding("look", text))
    return dict(found)


def _of_same_id(report: EntryReport) -> Iterator[str]:
    """Sibling folders of an entry with the same id but another name."""
    own = Path(report.place).resolve()
    if report.entry_id is None:
        return
    for sibling in sorted(own.parent.iterdir()):
        if sibling.name != own.name and sibling.name[-ID_LENGTH:] == report.entry_id:
            yield sibling.name


def _of_several(places: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(places))
    return distinct if len(distinct) > 1 else []


def _listed(places: Sequence[str]) -> str:
    return ", ".join(Path(place).name for place in dict.fromkeys(places))

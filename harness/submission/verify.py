"""Checks everything in an entry that its files and the data set determine, without its model or submitted code.

The numbers are recomputed from the predictions with the code of `python -m harness report`, and each is compared.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builders.core.errors import DataError, IncompleteError, MlipOodError, SetupError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.shown import shown
from dataset_builders.tasks.editions import edition_note
from harness.core.training_record import RECORD_NAME
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.run import SHARDS_NAME, evaluate_again
from harness.inference.batching import make_plan
from harness.report.cost_line import cost_lines
from harness.report.precision_line import precision_lines
from harness.results.manifest import MANIFEST_NAME, Manifest
from harness.results.result import RESULT_NAME, RunResult
from harness.submission.cautions import findings_of_checkpoint, findings_of_evidence, findings_of_records
from harness.submission.differences import RELATIVE, differences, n_numbers
from harness.submission.entry_document import ENTRY_NAME, EntryRun
from harness.submission.findings import CheckedRun, EntryReport, Finding
from harness.submission.members import findings_of_members
from harness.submission.predictions import fetch_predictions, require_bounded, require_predictions_of
from harness.submission.run_identity import findings_of_identity, model_hash_of
from harness.submission.staging import StagedEntry, stage_entry
from harness.submission.strict_json import strict_json
from harness.submission.training import as_named, findings_of_training

_MAX_BATCH_ATOMS = 10**9
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run of an entry with valid records, and its data set.

    Attributes:
        run_id: Name of its folder.
        directory: Its private copy.
        manifest: Its manifest.
        stated: Its stated numbers.
        dataset: The data set, under the name used by the run.
        dataset_text: Argument that opens this data set.
    """

    run_id: str
    directory: Path
    manifest: Manifest
    stated: RunResult
    dataset: PinnedDataset
    dataset_text: str


def verify_entry(directory: Path, datasets: Sequence[str]) -> EntryReport:
    """Checks an entry.

    Args:
        directory: Its folder.
        datasets: The accepted data sets, as for `open_dataset`; an entry on any other data set is refused, even under
            the same name.

    Returns:
        The report. A fault of the entry is a finding, not an error.

    Raises:
        SetupError: If the Hub cannot be reached or refuses access, or the disk cannot be written.
        UsageError: If a data set is invalid.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-ood-entry-") as name:
        workspace = Path(name)
        try:
            entry = stage_entry(directory, workspace)
        except DataError as cause:
            return EntryReport(str(directory), None, (), (Finding("fault", str(cause)),))
        document = entry.document
        runs, findings = [], [_of_files(entry)]
        for run_id in document.runs:
            run, found = _checked(entry, run_id, datasets)
            runs += [] if run is None else [run]
            findings += found
        findings += findings_of_members(entry, runs)
        return EntryReport(str(directory), document.entry_id, tuple(runs), tuple(findings))


def open_run(entry: StagedEntry, run_id: str, datasets: Sequence[str]) -> OpenedRun:
    """Reads the records of a run of an entry, and downloads its predictions if they are on the Hub.

    Args:
        entry: The entry, in its private folder.
        run_id: Name of the run.
        datasets: The accepted data sets.

    Raises:
        DataError: If a record is invalid, the records contradict each other, or the data set is not accepted.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    run, directory = entry.document.runs[run_id], entry.run_directory(run_id)
    for file in run.files:
        strict_json((directory / file).read_bytes(), file)
    manifest, stated = Manifest.load(directory), RunResult.load(directory / RESULT_NAME)
    _require_possible(manifest)
    for name in ("model", "dataset", "environment"):
        there, here = getattr(manifest, name).model_dump(mode="json"), getattr(stated, name).model_dump(mode="json")
        for difference in differences(here, there, name):
            raise DataError(
                f"{RESULT_NAME} states {shown(difference.stated)} for {shown(difference.place)}, but {MANIFEST_NAME} "
                f"states {shown(difference.computed)}; both come from one run, so one of them was changed"
            )
    dataset, text = _known_dataset(manifest, datasets)
    if run.predictions_at is not None:
        fetch_predictions(run.predictions_at, run.predictions, directory / SHARDS_NAME)
    return OpenedRun(run_id, directory, manifest, stated, as_named(dataset, manifest), text)


def _checked(entry: StagedEntry, run_id: str, datasets: Sequence[str]) -> tuple[CheckedRun | None, list[Finding]]:
    """The numbers of a run, if they can be recomputed, and its findings."""
    findings: list[Finding] = []
    try:
        run = open_run(entry, run_id, datasets)
        findings += _of_dataset(run)
        findings += findings_of_identity(run.manifest, run.dataset, run_id)
        record = run.directory / RECORD_NAME
        findings += findings_of_training(run.manifest, record if record.exists() else None, run.dataset, run_id)
        findings += findings_of_records(run.stated, run_id)
        computed = _computed(run, entry.document.runs[run_id])
        findings += _of_numbers(run, computed)
        findings += _of_failures(computed, run_id)
        findings += findings_of_checkpoint(computed, entry.document.checkpoint, run_id)
        findings += findings_of_evidence(computed, run_id)
        findings += _of_cost(run.stated, run_id)
    except SetupError:
        raise
    except MlipOodError as cause:
        text = str(cause).replace(f"{entry.run_directory(run_id)}/", "").replace(str(entry.directory), "the entry")
        findings.append(Finding("fault", text, run_id, is_incomplete=isinstance(cause, IncompleteError)))
        return None, findings
    except (MemoryError, OverflowError, RecursionError) as cause:
        findings.append(
            Finding("fault", f"it cannot be read within the limits of time and memory ({type(cause).__name__})", run_id)
        )
        return None, findings
    return CheckedRun(run_id, model_hash_of(run.manifest), computed), findings


def _require_possible(manifest: Manifest) -> None:
    if manifest.batch_atoms > _MAX_BATCH_ATOMS:
        raise DataError(f"batch_atoms is {shown(manifest.batch_atoms)}; expected at most {_MAX_BATCH_ATOMS:,}")
    if not manifest.tasks or len(set(manifest.tasks)) < len(manifest.tasks):
        raise DataError(f"tasks are {' '.join(manifest.tasks) or 'none'}; expected one or more, each once")
    unnamed = [name for name, version in manifest.environment.packages.items() if not version]
    if unnamed:
        raise DataError(
            f"the package {shown(unnamed[0])} has no version; expected the version used for the computation"
        )


def _known_dataset(manifest: Manifest, datasets: Sequence[str]) -> tuple[PinnedDataset, str]:
    """The accepted data set with the content hash of a run."""
    stated, offered = manifest.dataset, []
    for text in datasets:
        try:
            found = open_dataset(text, stated.level)
        except DataError as cause:
            offered.append(str(cause))
            continue
        if found.content_hash == stated.content_hash:
            return found, text
        offered.append(f"{text} has {found.content_hash[:SHORT_HASH]}")
    raise DataError(
        f"the run is on {shown(stated.id)}, edition {shown(stated.edition)}, content "
        f"{stated.content_hash[:SHORT_HASH]}, which is not one of the accepted data sets: {'; '.join(offered)}. Name "
        "the data set with --dataset, or evaluate on an accepted one"
    )


def _computed(run: OpenedRun, listed: EntryRun) -> RunResult:
    """The result recomputed from the predictions, as in `python -m harness report`."""
    plan = make_plan(scan_dataset(run.dataset, run.manifest.tasks), run.manifest.batch_atoms)
    require_predictions_of(plan, listed.predictions)
    require_bounded(plan, run.directory / SHARDS_NAME)
    (run.directory / RESULT_NAME).unlink()  # Otherwise its date would be kept.
    return evaluate_again(run.directory, run.dataset_text).result


def _of_dataset(run: OpenedRun) -> Iterator[Finding]:
    stated, found = run.manifest.dataset, run.dataset
    note = edition_note(found.edition)
    pairs = {"edition": (stated.edition, found.edition), "level": (stated.level_of_theory, found.level_of_theory)}
    wrong = [name for name, (there, here) in pairs.items() if there != here]
    for name in wrong:
        there, here = pairs[name]
        yield Finding(
            "fault", f"{name} of the data set is {shown(there)}; expected {here}, from its content", run.run_id
        )
    if not wrong:
        yield Finding(
            "proved",
            f"data set {run.dataset_text}: edition {found.edition}, labels {found.level_of_theory}, content "
            f"{found.content_hash[:SHORT_HASH]}{f'; {note}' if note else ''}",
            run.run_id,
        )


def _of_numbers(run: OpenedRun, computed: RunResult) -> Iterator[Finding]:
    stated_document, computed_document = (_document(each) for each in (run.stated, computed))
    found = list(differences(stated_document, computed_document))
    wrong = [each for each in found if not each.is_rounding]
    for each in wrong[:_MAX_SHOWN]:
        yield Finding("fault", str(each), run.run_id)
    if len(wrong) > _MAX_SHOWN:
        yield Finding(
            "fault",
            f"{len(wrong) - _MAX_SHOWN} more values differ from those computed from its predictions",
            run.run_id,
        )
    if wrong:
        return
    count = n_numbers([computed_document["tasks"], computed_document["overall_score"]])
    exact = "to the last bit" if not found else f"with relative differences of at most {RELATIVE:g}"
    yield Finding(
        "proved", f"all {count} numbers and intervals are reproduced from the predictions, {exact}", run.run_id
    )
    if found:
        yield Finding(
            "look",
            f"{len(found)} of {count} numbers differ in their last digits from those computed here, as results of "
            f"different processors do; first {found[0]}",
            run.run_id,
        )


def _document(result: RunResult) -> Any:
    """The part of a result that follows from the predictions: everything but its date and its cost."""
    document = json.loads(result.model_dump_json())
    del document["created"], document["cost"]
    return document


def _of_failures(computed: RunResult, run_id: str) -> Iterator[Finding]:
    n_failed = sum(task.n_failed for task in computed.tasks.values())
    if n_failed:
        text = f"{n_failed} structures failed, so its numbers do not represent its tasks; fix the cause and run again"
        yield Finding("fault", text, run_id, is_incomplete=True)
    else:
        n_frames = sum(
            task.splits[part].n_frames for task in computed.tasks.values() for part in ("test_id", "test_ood")
        )
        yield Finding(
            "proved", f"no structure failed, of {n_frames} in the test splits of {' '.join(computed.tasks)}", run_id
        )


def _of_cost(stated: RunResult, run_id: str) -> Iterator[Finding]:
    """What the run cost, and what its precision changed, which nothing here can prove."""
    if stated.cost is not None:
        yield Finding("stated", "; ".join(cost_lines(stated)), run_id)
    for line in precision_lines(stated.model):
        yield Finding("stated", line, run_id)


def _of_files(entry: StagedEntry) -> Finding:
    carried = entry.document.carried()
    n_bytes = sum(file.n_bytes for file in carried.values())
    elsewhere = [str(run.predictions_at) for run in entry.document.runs.values() if run.predictions_at is not None]
    also = f"; predictions at {', '.join(dict.fromkeys(elsewhere))}" if elsewhere else ""
    return Finding("proved", f"{len(carried)} files, {n_bytes / 1e6:.2f} MB, as {ENTRY_NAME} lists them{also}")

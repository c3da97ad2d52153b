"""Plans a study, runs it and writes its report."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.whole_file import write_text_whole
from harness.study.jobs import (
    Job,
    Request,
    changes,
    identity_of,
    missing_checkpoints,
    missing_environments,
    plan_jobs,
    records_by_place,
)
from harness.study.run_record import RECORDS_NAME, RunRecord, read_records
from harness.study.runner import JobFailure, Study, run_jobs
from harness.study.study_report import REPORT_NAME, counted, write_report

_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Outline:
    """The plan of a study.

    Attributes:
        pending: Jobs to run, in order.
        text: The plan in words: each job with its reason, omitted rows, and the estimated time.
    """

    pending: tuple[Job, ...]
    text: str


def outline(study: Study, *, any_code: bool = False) -> Outline:
    """Determines which jobs have to run.

    Args:
        study: The study.
        any_code: Whether a record made with other code is accepted.

    Raises:
        DataError: If the records cannot be read.
        SetupError: If a package that a row needs is not installed.
    """
    request = study.request
    records = read_records(study.results)
    by_place = records_by_place(records)
    jobs = plan_jobs(request)
    reasons = {
        job: changes(by_place.get(job.place), identity_of(job, request, study.content(job.task)), any_code=any_code)
        for job in jobs
    }
    pending = tuple(job for job in jobs if reasons[job])
    lines = [f"{job.name}: {_reason(reasons[job])}, {_length(_minutes(job, request, records))}" for job in pending]
    lines += [
        f"left out: {row.name} ({row.title}); give its checkpoint with --model {row.checkpoint}=PATH"
        for row in missing_checkpoints(request)
    ]
    lines += [
        f"left out: {row.name} ({row.title}); create its environment with: python -m harness env create "
        f"{row.environment}"
        for row in missing_environments(request)
    ]
    return Outline(pending, "\n".join([*lines, _total(study, pending, len(jobs), records)]))


def do_study(study: Study, plan: Outline, say: Callable[[str], None]) -> list[JobFailure]:
    """Runs the pending jobs and writes the report.

    Args:
        study: The study.
        plan: From `outline`.
        say: Called with a message for each finished job and for the report.

    Returns:
        The failed jobs.

    Raises:
        MlipOodError: If the folders cannot be used, or nothing could be measured.
    """
    n_done = 0

    def on_end(job: Job, cause: str | None) -> None:
        nonlocal n_done
        n_done += 1
        say(f"[{n_done}/{len(plan.pending)}] {job.name}: {'done' if cause is None else f'failed: {cause}'}")

    failures = run_jobs(study, plan.pending, on_end) if plan.pending else []
    if read_records(study.results):
        for path in report_all(study.results.parent):
            say(f"report: {path}")
    return failures


def report_all(out: Path) -> list[Path]:
    """Writes the report of every edition in a folder, and a list of the reports.

    Raises:
        DataError: If there are no records.
        SetupError: If the folder cannot be written to.
    """
    folders = sorted(path.parent for path in out.glob(f"*/{RECORDS_NAME}"))
    if not folders:
        raise DataError(
            f"{out} contains no records (*/{RECORDS_NAME}); run the study first, or give its folder with --out"
        )
    reports = [write_report(folder) for folder in folders]
    index = out / REPORT_NAME
    try:
        write_text_whole(index, _index_text(folders))
    except OSError as cause:
        raise SetupError(f"cannot write to {out}: {cause.strerror or cause}; choose a folder with --out") from cause
    return [*reports, index]


def edition_folder(edition: str) -> str:
    """Name of the folder for the results of an edition, such as `mini` or `100-10-5-10`."""
    return re.sub(r"[^\w.-]+", "-", edition).strip("-.") or "edition"


def _index_text(folders: list[Path]) -> str:
    items = []
    for folder in folders:
        records = read_records(folder)
        rows = counted(len({record.row for record in records}), "row")
        labels = records[0].dataset.level_of_theory
        link = f"[{folder.name}]({folder.name}/{REPORT_NAME})"
        items.append(f"- {link}: {counted(len(records), 'run')} of {rows}, labels {labels}")
    return "# Results of the study, by edition\n\n" + "\n".join(items) + "\n"


def _reason(found: tuple[str, ...]) -> str:
    return found[0] if found == ("no record",) else f"changed: {', '.join(found)}"


def _minutes(job: Job, request: Request, records: list[RunRecord]) -> float | None:
    """Estimated time of a job, from earlier jobs of its row and length; `None` if there are none."""
    option, number = request.length
    earlier = [
        sum(record.seconds.values())
        for record in records
        if record.row == job.row.name and (not job.row.budgeted or record.asked[:2] == (option, str(number)))
    ]
    return fmean(earlier) / _MINUTE if earlier else None


def _length(minutes: float | None) -> str:
    return "time unknown" if minutes is None else f"about {minutes:.1f} min"


def _total(study: Study, pending: tuple[Job, ...], n_jobs: int, records: list[RunRecord]) -> str:
    known = [minutes for job in pending if (minutes := _minutes(job, study.request, records)) is not None]
    unknown = len(pending) - len(known)
    text = f"{len(pending)} of {n_jobs} jobs to run"
    if known:
        text += f", about {sum(known) / study.n_parallel:.0f} min with {study.n_parallel} in parallel"
    return text + (f", and {unknown} of unknown length" if unknown else "")

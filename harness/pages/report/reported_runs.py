"""Reads finished runs for a report: results are recomputed, and every frame is read once more."""

from collections.abc import Sequence

from harness.evaluation.run import FinishedRun, SavedRun
from harness.pages.report.frame_errors import frame_errors
from harness.pages.report.view import ReportedRun, slug
from harness.report.distinct_names import distinct_names


def reported_runs(saved: Sequence[SavedRun], finished: Sequence[FinishedRun]) -> list[ReportedRun]:
    """Adds what single frames say to recomputed results.

    Args:
        saved: The runs.
        finished: Their results, in the same order.

    Raises:
        UsageError: If two runs are of one evaluation.
        DataError: If labels or predictions cannot be read.
    """
    results = [run.result for run in finished]
    names = distinct_names(results)
    return [
        ReportedRun(
            name=name,
            slug=f"{slug(result.model.id)[:40]}-{place}",
            saved=run,
            result=result,
            frames={task: frame_errors(run, task) for task in result.tasks},
        )
        for place, (name, run, result) in enumerate(zip(names, saved, results, strict=True), start=1)
    ]

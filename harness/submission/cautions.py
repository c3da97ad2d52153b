"""Aspects of a run that a reviewer must judge: possible leakage of the test set, and gaps in its records."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from dataset_builders.core.hashes import SHORT_HASH
from harness.core.training_record import RECORD_NAME
from harness.report.control_gaps import control_gaps
from harness.report.leak_cautions import cautions_of_evidence, errors_on_train, gaps_of_controls
from harness.results.result import RunResult
from harness.submission.findings import Finding

_FIRST_YEAR: Final = 2020
_CLOCKS: Final = timedelta(days=1)
"""Largest accepted difference between the clocks of two machines, time zones included."""


def findings_of_evidence(result: RunResult, run_id: str) -> Iterator[Finding]:
    """What the recomputed numbers of a run suggest about leakage of the test set.

    Args:
        result: The recomputed numbers.
        run_id: Name of the run.
    """
    known = control_gaps(result.dataset.content_hash, [], None)
    on_train = errors_on_train(result)
    if on_train is not None:
        yield Finding("proved", on_train, run_id)
    for text in cautions_of_evidence(result, gaps_of_controls([], known)):
        yield Finding("look", text, run_id)
    if not known and result.model.protocol != "control":
        yield Finding("look", "no gap of a control is known on this data set, so its gap has no reference", run_id)
    model = result.model
    for text in model.cautions:
        yield Finding("look", text, run_id)
    if model.conservative is False:
        yield Finding("look", "its forces are not the derivative of its energy", run_id)
    if model.unfinished:
        yield Finding("look", f"its training was stopped early ({model.unfinished})", run_id)
    if result.levels_agree is not True and model.protocol != "control":
        yield Finding(
            "look",
            f"its level of theory is {model.level_of_theory or 'unknown'}, that of the labels "
            f"{result.dataset.level_of_theory}: every error includes the difference between the two",
            run_id,
        )


def findings_of_checkpoint(result: RunResult, where: str | None, run_id: str) -> Iterator[Finding]:
    """The weights that a run states it measured, and where to obtain them.

    Args:
        result: Result of the run.
        where: Location stated by its entry.
        run_id: Name of the run.
    """
    model = result.model
    weights = {name: sha256 for name, sha256 in model.files.items() if not name.endswith(RECORD_NAME)}
    if not weights:
        if model.protocol != "control":
            yield Finding("look", "no checkpoint file is named, so the model cannot be identified", run_id)
        return
    named = ", ".join(f"{name} {sha256[:SHORT_HASH]}" for name, sha256 in sorted(weights.items()))
    place = f"{model.id}@{model.revision} on the Hub" if model.revision else where
    if place is None:
        yield Finding("look", f"the entry does not state where the checkpoint ({named}) is available", run_id)
    else:
        yield Finding(
            "stated", f"the predictions are attributed to {named}, from {place}; --model checks a sample", run_id
        )


def findings_of_records(result: RunResult, run_id: str) -> Iterator[Finding]:
    """Checks the date, paths and environment in the records of a run."""
    latest = datetime.now(UTC) + _CLOCKS
    if not result.created.year >= _FIRST_YEAR or result.created > latest:
        yield Finding(
            "fault", f"created is {result.created.isoformat()}; expected a time that is not in the future", run_id
        )
    for what, text in (("model", result.model.id), ("data set", result.dataset.id)):
        if PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute():
            yield Finding("look", f"the {what} is named by a path on a local machine: {text}", run_id)
    environment = result.environment
    packages = " ".join(f"{name} {version}" for name, version in environment.packages.items())
    machine = f"{result.model.dtype} on {result.model.device}, {environment.platform}"
    yield Finding("stated", f"{machine}, Python {environment.python}, {packages}", run_id)

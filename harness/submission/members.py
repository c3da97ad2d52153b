"""Checks that the runs of an entry belong together: one model per task, or the members of one method."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.shown import shown
from harness.method.assemble import MeasuredMember, mean_result
from harness.method.document import MethodResult
from harness.results.result import RESULT_NAME, RunResult
from harness.submission.differences import differences
from harness.submission.entry_document import METHOD_NAME, RUNS_NAME
from harness.submission.findings import CheckedRun, Finding
from harness.submission.staging import StagedEntry
from harness.submission.strict_json import strict_json

_EXPECTED: Final = f"expected the {METHOD_NAME} that `python -m harness --method` wrote"


def findings_of_members(entry: StagedEntry, runs: Sequence[CheckedRun]) -> Iterator[Finding]:
    """Checks the runs of an entry against each other, and against its `method.json` if it has one.

    Args:
        entry: The entry.
        runs: Runs whose numbers could be recomputed.
    """
    has_method = entry.document.method is not None
    if has_method:
        yield from _of_method(entry)
    by_task: dict[str, list[CheckedRun]] = {}
    for run in runs:
        for task in run.result.tasks:
            by_task.setdefault(task, []).append(run)
    for task, members in by_task.items():
        if len({run.model_hash for run in members}) < len(members):
            yield Finding("fault", f"{task} occurs {len(members)} times with the same checkpoint; expected once")
        elif len(members) > 1 and not has_method:
            yield Finding(
                "fault",
                f"{task} occurs {len(members)} times, without a {METHOD_NAME} that states which runs are seeds of one "
                "method; submit them separately, or as a method",
            )
    yield from _mixed(runs)


def _mixed(runs: Sequence[CheckedRun]) -> Iterator[Finding]:
    of_runs: dict[str, set[str]] = {
        "editions": {run.result.dataset.edition for run in runs},
        "data sets": {run.result.dataset.content_hash[:SHORT_HASH] for run in runs},
        "protocols": {run.result.model.protocol for run in runs},
    }
    for what, values in of_runs.items():
        if len(values) > 1:
            yield Finding(
                "fault", f"its runs have several {what} ({', '.join(sorted(values))}); an entry never mixes them"
            )


def _of_method(entry: StagedEntry) -> Iterator[Finding]:
    runs = entry.document.runs
    try:
        listed = method_members((entry.directory / METHOD_NAME).read_bytes(), METHOD_NAME)
    except DataError as cause:
        yield Finding("fault", str(cause))
        return
    expected = {(f"{RUNS_NAME}/{run_id}", run.files[RESULT_NAME].sha256) for run_id, run in runs.items()}
    if len(listed) != len(expected) or set(listed) != expected:
        odd = next((place for place, sha256 in listed if (place, sha256) not in expected), "one of them twice")
        yield Finding(
            "fault",
            f"the {len(listed)} members of {METHOD_NAME} are not the {len(runs)} runs of the entry, first "
            f"{shown(odd)}; write the entry again with `python -m harness submit`",
        )
        return
    yield Finding(
        "proved", f"the {len(runs)} runs are the members that {METHOD_NAME} names, by the sha256 of their results"
    )
    yield from _of_means(entry)


def _of_means(entry: StagedEntry) -> Iterator[Finding]:
    """Whether the means of a method and the data on its members follow from the results of its runs."""
    try:
        method = MethodResult.load(entry.directory)
        results = [RunResult.load(entry.directory / member.run / RESULT_NAME) for member in method.members]
        members = [
            MeasuredMember(member.task, member.seed, result)
            for member, result in zip(method.members, results, strict=True)
        ]
        stated = method.result
        computed = mean_result(stated.model.id, members, stated.created, stated.model.revision)
    except (DataError, UsageError) as cause:
        yield Finding("fault", str(cause))
        return
    for member, result in zip(method.members, results, strict=True):
        if (member.model, member.family) != (result.model.id, result.model.family):
            yield Finding(
                "fault",
                f"{METHOD_NAME} calls its member {member.place} {shown(member.model)} ({shown(member.family)}); its "
                f"result says {shown(result.model.id)} ({shown(result.model.family)})",
            )
    # What an evaluation cost is stated and cannot be computed again; the staged results carry none.
    there, here = (each.model_dump(mode="json", exclude={"cost"}) for each in (stated, computed))
    found = list(differences(there, here, METHOD_NAME))
    wrong = [difference for difference in found if not difference.is_rounding]
    if wrong:
        yield Finding(
            "fault",
            f"{len(wrong)} values of {METHOD_NAME} differ from those computed from the runs of the entry, first "
            f"{wrong[0]}",
        )
    elif found:
        yield Finding(
            "look",
            f"{len(found)} means of {METHOD_NAME} differ in their last digits, as results of different processors do",
        )
    else:
        yield Finding(
            "proved", f"every mean of {METHOD_NAME} equals the one computed from the runs of the entry, to the last bit"
        )


def method_members(content: bytes, place: str) -> list[tuple[str, str]]:
    """The folder and result sha256 of each member of a method, as stated in its file.

    Args:
        content: Content of `method.json`.
        place: The file, for messages.

    Raises:
        DataError: If it is invalid, or names no members.
    """
    document = strict_json(content, place)
    members = document.get("members") if isinstance(document, dict) else None
    if not isinstance(members, list) or not members:
        raise DataError(f"{place} lists no members; {_EXPECTED}")
    return [_member(member, place) for member in members]


def _member(member: Any, place: str) -> tuple[str, str]:
    found = (member.get("run"), member.get("result_sha256")) if isinstance(member, dict) else (None, None)
    run, sha256 = found
    if not isinstance(run, str) or not isinstance(sha256, str):
        raise DataError(f"{place} has the member {shown(member)}, without run and result_sha256; {_EXPECTED}")
    return run, sha256


def member_directory(run: str, directory: Path) -> Path:
    """The folder of a member of a method in a given folder.

    Raises:
        DataError: If its path is not relative.
    """
    if PurePosixPath(run).is_absolute() or "\\" in run or "\0" in run:
        raise DataError(f"{METHOD_NAME} names the run {shown(run)}; expected a relative path")
    return directory / run

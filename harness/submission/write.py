"""Writes an entry from finished runs, and first checks it as the repo of results will."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, IncompleteError, UsageError
from dataset_builders.core.hashes import SHORT_HASH, bytes_sha256
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.core.whole_folder import whole_folder
from harness.core.training_record import RECORD_NAME, record_place
from harness.evaluation.run import SHARDS_NAME
from harness.results.manifest import MANIFEST_NAME, Manifest
from harness.results.result import RESULT_NAME
from harness.submission.entry_document import (
    ENTRY_NAME,
    MAX_CARRIED_BYTES,
    METHOD_NAME,
    PREDICTIONS_NAME,
    RUNS_NAME,
    EntryDocument,
    EntryRun,
    FileRecord,
    HubPlace,
    is_slug,
    slug_of,
)
from harness.submission.findings import EntryReport
from harness.submission.members import member_directory, method_members
from harness.submission.run_identity import run_id_of
from harness.submission.verify import verify_entry

_MAX_METHOD_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """The user's options for an entry.

    Attributes:
        name: Its name; `None` for a name derived from the model.
        checkpoint: Where to obtain the weights.
        records: Files mlip-ood.json that models were read with.
        predictions_at: Location of the predictions on the Hub; `None` to include them.
        datasets: The accepted data sets, as for `open_dataset`.
    """

    name: str | None = None
    checkpoint: str | None = None
    records: tuple[Path, ...] = ()
    predictions_at: HubPlace | None = None
    datasets: tuple[str, ...] = ("mini",)


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """A written entry.

    Attributes:
        directory: Its folder.
        n_bytes: Total size of its files.
        report: The report that a reviewer will see.
    """

    directory: Path
    n_bytes: int
    report: EntryReport


@dataclass(frozen=True, slots=True)
class _Source:
    """A run that becomes part of an entry."""

    directory: Path
    manifest: Manifest
    run_id: str
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an entry is written from."""

    document: EntryDocument
    sources: tuple[_Source, ...]
    method: bytes | None


def write_entry(runs: Sequence[Path], output: Path, options: EntryOptions) -> WrittenEntry:
    """Writes an entry into a folder, completely or not at all.

    Args:
        runs: Folders of finished runs, or of a method, whose `method.json` names its runs.
        output: Folder of entries.
        options: The user's options.

    Raises:
        UsageError: If a name, a place or a file mlip-ood.json is needed or wrong, or a run is named twice.
        DataError: If a folder is not that of a finished run, or the entry would be refused.
        IncompleteError: If structures failed.
        SetupError: If the folder is not writable.
    """
    parts = _parts(runs, options)
    place = output / parts.document.folder
    if place.exists() and not (place / ENTRY_NAME).is_file():
        raise UsageError(f"{place} exists and is not an entry; move it away, or choose another folder with --out")
    with whole_folder(place) as fresh:
        # In a folder of its final name, which the check verifies too.
        trial = fresh / parts.document.folder
        _fill(trial, parts)
        report = verify_entry(trial, options.datasets)
        _require_sound(report)
        for path in list(trial.iterdir()):
            path.rename(fresh / path.name)
        trial.rmdir()
    n_bytes = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return WrittenEntry(place, n_bytes, report)


def assemble_entry(runs: Sequence[Path], output: Path, options: EntryOptions) -> Path:
    """Writes an entry into a folder without checking its numbers, for a check that reports what is wrong.

    Returns:
        The folder of the entry.

    Raises:
        UsageError: As `write_entry` does.
        DataError: If a folder is not that of a finished run.
    """
    parts = _parts(runs, options)
    _fill(output / parts.document.folder, parts)
    return output / parts.document.folder


def _parts(runs: Sequence[Path], options: EntryOptions) -> "_Parts":
    directories, method = _members(runs)
    sources = [_source(directory, options) for directory in directories]
    twice = [source.run_id for source in sources if [each.run_id for each in sources].count(source.run_id) > 1]
    if twice:
        raise UsageError(f"the run {twice[0]} is given twice; give each run once")
    content = None if method is None else _method_of_entry(method, sources)
    return _Parts(_document(sources, content, options), tuple(sources), content)


def _members(runs: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """The folders of the runs, and the file of their method, if any."""
    methods = [run for run in runs if (run / METHOD_NAME).is_file()]
    if not methods:
        return list(dict.fromkeys(run.resolve() for run in runs)), None
    if len(runs) > 1:
        raise UsageError(f"{methods[0]} is a method, which is an entry of its own; submit it separately")
    path = methods[0] / METHOD_NAME
    members = method_members(_content(path, _MAX_METHOD_BYTES), str(path))
    return [member_directory(run, methods[0]).resolve() for run, _ in members], path


def _source(directory: Path, options: EntryOptions) -> _Source:
    manifest = Manifest.load(directory)
    # The local folder stays private; `report` on an entry gets the data set as an argument.
    public = manifest.model_copy(update={"dataset_directory": manifest.dataset.id})
    files = {
        MANIFEST_NAME: (public.model_dump_json(indent=2) + "\n").encode(),
        RESULT_NAME: _content(directory / RESULT_NAME, MAX_CARRIED_BYTES),
    }
    sha256 = next((sha256 for name, sha256 in manifest.model.files.items() if name.endswith(RECORD_NAME)), None)
    if sha256 is not None:
        files[RECORD_NAME] = _record(manifest, sha256, options.records)
    return _Source(directory, manifest, run_id_of(manifest), files)


def _record(manifest: Manifest, sha256: str, named: Sequence[Path]) -> bytes:
    """The file mlip-ood.json that a model was read with, identified by its hash."""
    beside = Path(manifest.model.id)
    for path in (*named, record_place(beside), beside.parent / RECORD_NAME):
        if path.is_file():
            content = _content(path, MAX_CARRIED_BYTES)
            if bytes_sha256(content) == sha256:
                return content
    raise UsageError(
        f"{manifest.model.id} was loaded with a {RECORD_NAME} of sha256 {sha256[:SHORT_HASH]}, which is no longer next "
        "to it; name the file with --record"
    )


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as cause:
        raise DataError(
            f"cannot read {path}: {cause.strerror or cause}; expected the folder of a finished run"
        ) from cause
    if len(content) > most:
        raise DataError(f"{path} is larger than {most:,} bytes; expected a file that the harness wrote")
    return content


def _method_of_entry(path: Path, sources: Sequence[_Source]) -> bytes:
    """The file of a method, with the paths of its members in the entry."""
    document = json.loads(_content(path, _MAX_METHOD_BYTES))
    for member, source in zip(document["members"], sources, strict=True):
        found = _file_record(source.files[RESULT_NAME]).sha256
        if member["result_sha256"] != found:
            raise DataError(
                f"{path} names a result of {source.directory} with sha256 {member['result_sha256'][:SHORT_HASH]}, but "
                f"that file now has {found[:SHORT_HASH]}; evaluate the method again"
            )
        member["run"] = f"{RUNS_NAME}/{source.run_id}"
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _document(sources: Sequence[_Source], method: bytes | None, options: EntryOptions) -> EntryDocument:
    name = options.name or slug_of(Path(sources[0].manifest.model.id).name)
    if not is_slug(name):
        raise UsageError(
            f"{name!r} is not a valid name of an entry; choose one with --name: lower-case letters and digits with "
            "single - . _ between them, at most 60 characters"
        )
    checkpoint = options.checkpoint
    if checkpoint is not None and not (0 < len(checkpoint) <= 200 and checkpoint.isprintable()):
        raise UsageError(
            f"--checkpoint {checkpoint[:200]!r}; expected one line of at most 200 characters, such as org/model"
        )
    runs = {source.run_id: _run(source, options.predictions_at) for source in sources}
    if options.predictions_at is None:
        _require_small(runs)
    return EntryDocument(
        name=name,
        checkpoint=checkpoint,
        runs=dict(sorted(runs.items())),
        method=None if method is None else _file_record(method),
    )


def _run(source: _Source, predictions_at: HubPlace | None) -> EntryRun:
    shards = sorted((source.directory / SHARDS_NAME).glob("*.parquet"))
    if not shards:
        raise DataError(f"{source.directory} contains no predictions; run the evaluation again to resume and finish it")
    place = None
    if predictions_at is not None:
        place = predictions_at.model_copy(update={"folder": predictions_at.path(source.run_id)})
    return EntryRun(
        files={name: _file_record(content) for name, content in source.files.items()},  # type: ignore[misc]
        predictions={path.name: _file_record(_content(path, MAX_CARRIED_BYTES)) for path in shards},
        predictions_at=place,
    )


def _require_small(runs: Mapping[str, EntryRun]) -> None:
    n_bytes = sum(file.n_bytes for run in runs.values() for file in (*run.files.values(), *run.predictions.values()))
    if n_bytes > MAX_CARRIED_BYTES:
        raise UsageError(
            f"the entry would have {n_bytes / 1e6:.0f} MB; a repo of results takes at most "
            f"{MAX_CARRIED_BYTES / 1e6:.0f}. Upload the folder `predictions` of each run as a folder RUN of a data-set "
            "repo on the Hub (hf upload), and name it with --predictions-at org/name@COMMIT"
        )


def _file_record(content: bytes) -> FileRecord:
    return FileRecord(sha256=bytes_sha256(content), n_bytes=len(content))


def _fill(directory: Path, parts: _Parts) -> None:
    for path, content in _carried(parts):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    write_text_whole(directory / ENTRY_NAME, parts.document.text())


def _carried(parts: _Parts) -> Iterator[tuple[str, bytes]]:
    if parts.method is not None:
        yield METHOD_NAME, parts.method
    for source in parts.sources:
        folder, run = f"{RUNS_NAME}/{source.run_id}", parts.document.runs[source.run_id]
        yield from ((f"{folder}/{name}", content) for name, content in source.files.items())
        if run.predictions_at is None:
            for name in run.predictions:
                content = _content(source.directory / SHARDS_NAME / name, MAX_CARRIED_BYTES)
                yield f"{folder}/{PREDICTIONS_NAME}/{name}", content


def _require_sound(report: EntryReport) -> None:
    if not report.faults:
        return
    listed = "\n".join(f"  {fault.run or ''} {fault.text}".rstrip() for fault in report.faults)
    kind = IncompleteError if all(fault.is_incomplete for fault in report.faults) else DataError
    raise kind(f"the entry would be refused, and was not written:\n{listed}")

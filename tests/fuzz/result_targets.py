"""Targets: results, methods, entries of others and what they consist of."""

import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from tests.fuzz.hub_targets import _result
from tests.fuzz.target import Reading, Target


def _printed(renderable: object) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def _result_json(folder: Path) -> Reading:
    """A result that is printed and compared."""
    from harness.report.table import report
    from harness.results.result import load_results

    path = folder / "result.json"
    _result().save(path)

    def read() -> object:
        results = load_results([folder])
        return _printed(report(results, {}))

    return Reading(read, [path.read_bytes()])


def _manifest(folder: Path) -> Reading:
    from harness.results.manifest import Manifest, earlier_batch_atoms
    from harness.submission.run_identity import dtype_of, run_id_of

    result = _result()
    manifest = Manifest(
        identity={"model": "a", "data": "b"},
        model=result.model,
        dataset=result.dataset,
        dataset_directory="/data",
        environment=result.environment,
        tasks=("task1", "task2"),
        batch_atoms=4096,
    )
    manifest.save(folder)

    def read() -> object:
        found = Manifest.load(folder)
        earlier_batch_atoms(folder.parent, folder.name, found.identity)
        return run_id_of(found), dtype_of(found.model)

    return Reading(read, [(folder / "run.json").read_bytes()])


def _timing(folder: Path) -> Reading:
    """What the processes of a run timed; a damaged file is logged and left out."""
    from harness.results.cost import TimedPart, cost_of, read_parts

    part = TimedPart(
        started=datetime(2026, 8, 1, tzinfo=UTC),
        rank=0,
        processor="A CPU",
        threads=2,
        n_computed=50,
        n_timed=40,
        seconds=1.5,
        peak_device_bytes=None,
        peak_resident_bytes=3,
    )
    return Reading(lambda: cost_of(read_parts(folder), 50), [part.model_dump_json().encode()])


def _method(folder: Path) -> Reading:
    """A method of several seeds, its members, and its means on a page."""
    from harness.method.document import MethodResult
    from harness.report.table import report
    from harness.submission.members import member_directory, method_members
    from tests.model_cards.leaderboard.site.conftest import save_method

    _save_method(folder, save_method)

    def read() -> object:
        method = MethodResult.load(folder)
        for run, _ in method_members((folder / "method.json").read_bytes(), "method.json"):
            member_directory(run, folder)
        return _printed(report([method.result], {}))

    return Reading(read, [(folder / "method.json").read_bytes()])


def _save_method(folder: Path, save_method: object) -> None:
    from tests.harness.results.test_result import result_of

    measured = _result().tasks
    declared = {"protocol": "from-scratch", "training": "stated", "trained_on": "task2"}
    results = []
    for seed in range(2):
        result = result_of({"task2": measured["task2"]})
        model = result.model.model_copy(update={"id": f"m{seed}", "files": {"m": f"{seed}" * 64}, **declared})
        results.append(result.model_copy(update={"model": model}))
    save_method(results, folder)  # type: ignore[operator]


def _board(folder: Path, name: str) -> Reading:
    """A folder of results as a page: a file that cannot be read is left out, and the page is written without it."""
    from harness.pages import page
    from harness.submission.entry_document import ENTRY_NAME, EntryDocument, EntryRun, FileRecord
    from model_cards.leaderboard.site.from_folder import entries_of_path
    from model_cards.leaderboard.site.site_page import leaderboard_site
    from tests.model_cards.leaderboard.site.conftest import save, save_method

    root = folder / "board"
    save(_result(), root / "alone")
    save(_result(), root / "entry" / "runs" / "a")
    file = FileRecord(sha256="0" * 64, n_bytes=10)
    run = EntryRun(files={"run.json": file, "result.json": file}, predictions={f"{'0' * 16}.parquet": file})
    document = EntryDocument(name="toy", checkpoint="org/toy", runs={"0" * 12: run})
    (root / "entry" / ENTRY_NAME).write_text(document.text(), encoding="utf-8")
    if name.startswith("m/"):
        _save_method(root / "m", save_method)
    records = Path(__file__).parents[2] / "docs" / "results" / "mini" / "runs.jsonl"
    if name.endswith("runs.jsonl"):
        shutil.rmtree(root / "entry")
        lines = records.read_text(encoding="utf-8").splitlines()[:6]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join([*lines, ""]), encoding="utf-8")

    def read() -> object:
        found = entries_of_path(root)
        site = leaderboard_site(found)
        # The libraries of charts, which no input changes, take longer than all else.
        with mock.patch.object(page, "vega", return_value=""):
            text = site.html()
        text.encode("utf-8")
        return len(text)

    return Reading(read, [(root / name).read_bytes()])


def _entry_json(folder: Path) -> Reading:
    from harness.submission.entry_document import parse_entry

    _board(folder, "entry/entry.json")
    path = folder / "board" / "entry" / "entry.json"
    return Reading(lambda: parse_entry(path.read_bytes(), "entry.json").text(), [path.read_bytes()])


def _submitted(folder: Path, which: str) -> Reading:
    """An entry whose spoiled file fits its entry.json, as a submitter can make it, verified."""
    from harness.submission.verify import verify_entry
    from harness.submission.write import EntryOptions, write_entry
    from tests.harness.small_dataset import write_dataset
    from tests.harness.submission.forging import evaluated, named_after_runs, reseal
    from tests.harness.training_records import record_of, write_record

    data = write_dataset(folder / "data")
    checkpoint = folder / "m.model"
    checkpoint.write_bytes(b"weights")
    record = write_record(folder / "m.model.mlip-ood.json", record_of(data, "task1"))
    run = evaluated(checkpoint, record, data, folder / "results")
    options = EntryOptions(name="toy", checkpoint="org/toy", records=(record,), datasets=(str(data),))
    written = write_entry([run.directory], folder / "entries", options).directory
    sealed = folder / "sealed"
    (inside,) = (written / "runs").iterdir()
    path = next(inside.glob(which))
    spoiled = folder / "spoiled"
    numbers = _proved(path.read_bytes(), which)

    def read() -> object:
        shutil.rmtree(sealed, ignore_errors=True)
        copy = Path(shutil.copytree(written, sealed / written.name))
        (copy / path.relative_to(written)).write_bytes(spoiled.read_bytes())
        reseal(copy)
        report = verify_entry(named_after_runs(copy), [str(data)])
        if not report.faults and _proved(spoiled.read_bytes(), which) != numbers:
            raise AssertionError("other numbers are proved")
        return report

    return Reading(read, [path.read_bytes()])


def _proved(content: bytes, which: str) -> object:
    """The part of a file of an entry that its predictions prove."""
    import pyarrow.parquet as pq

    from harness.results.result import RunResult

    if which.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content)).to_pydict()
    if which == "result.json":
        # A key that is not there may be one that may be left out, such as a count of zero.
        return RunResult.model_validate_json(content).tasks
    document = json.loads(content)
    return document["tasks"], document["identity"]


def _message(folder: Path) -> Reading:
    """What the process of an untrusted checkpoint sends."""
    import numpy as np

    from dataset_builders.core.errors import ModelError
    from harness.worker.protocol import Message, ProtocolError, decoded, encoded

    def read() -> object:
        try:
            return decoded((folder / "message").read_bytes())
        except ProtocolError as cause:
            raise ModelError(str(cause)) from cause

    arrays = {"energy": np.arange(3.0), "forces": np.ones((4, 3), np.float32)}
    return Reading(read, [encoded(Message("prediction", {"a": "b"}, arrays, 3))])


def _study(folder: Path) -> Reading:
    """Records of a study, of this version and of the former one."""
    from harness.study.run_record import read_records

    path = Path(__file__).parents[2] / "docs" / "results" / "mini" / "runs.jsonl"
    lines = path.read_bytes().splitlines()
    return Reading(lambda: read_records(folder), [lines[0] + b"\n", lines[-1] + b"\n"])


def _board_of(name: str) -> Callable[[Path], Reading]:
    return lambda folder: _board(folder, name)


def _submission_of(which: str) -> Callable[[Path], Reading]:
    return lambda folder: _submitted(folder, which)


TARGETS = (
    Target("result.json", "json", "result.json", _result_json),
    Target("run.json", "json", "run.json", _manifest),
    Target("timing", "json", "timing/a.json", _timing, is_lenient=True),
    Target("method.json", "json", "method.json", _method),
    Target("entry.json", "json", "board/entry/entry.json", _entry_json),
    Target("board-result", "json", "board/alone/result.json", _board_of("alone/result.json"), 30.0, is_lenient=True),
    Target("board-method", "json", "board/m/method.json", _board_of("m/method.json"), 30.0, is_lenient=True),
    Target("board-records", "json", "board/study/runs.jsonl", _board_of("study/runs.jsonl"), 30.0, is_lenient=True),
    Target("study-records", "json", "runs.jsonl", _study),
    Target("submitted-result", "json", "spoiled", _submission_of("result.json"), 30.0, is_lenient=True),
    Target("submitted-run", "json", "spoiled", _submission_of("run.json"), 30.0, is_lenient=True),
    Target("predictions", "parquet", "spoiled", _submission_of("predictions/*.parquet"), 30.0, is_lenient=True),
    Target("worker-message", "bytes", "message", _message),
)

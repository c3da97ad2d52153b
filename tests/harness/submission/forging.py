"""What somebody can do to an entry who wants another number in it: change files, and make `entry.json` fit."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.potential import PotentialTraits
from harness.data.dataset import open_dataset
from harness.evaluation.run import FinishedRun, RunOptions, evaluate_model
from harness.models.detection import Family
from harness.models.registry import ModelSource
from harness.models.training_declaration import Statement
from harness.submission.entry_document import entry_id
from harness.submission.findings import EntryReport
from tests.harness.toy_potential import TRAITS, Harmonic

MACE = Family("mace", "harness.potentials.mace", "mace", files=("*.model",))
ZERO_SHOT = replace(TRAITS, protocol="zero-shot", variables={"OMP_NUM_THREADS": "1"})


def evaluated(
    checkpoint: Path,
    record: Path | None,
    dataset: Path,
    output: Path,
    statement: Statement | None = None,
    **changes: Any,
) -> FinishedRun:
    """The run of a toy that passes for the model of a checkpoint."""
    files = {checkpoint.name: hashlib.sha256(checkpoint.read_bytes()).hexdigest()} | changes.pop("files", {})
    traits: PotentialTraits = replace(ZERO_SHOT, files=files, model_id=checkpoint.name, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic(traits))
        patch.setattr("harness.worker.loading._needs_worker", lambda *_: False)
        source = ModelSource(traits.model_id, MACE, None, record=record)
        options = RunOptions(output=output, statement=statement, quiet=True)
        run = evaluate_model(source, open_dataset(str(dataset)), options)
    assert run is not None
    return run


def texts(report: EntryReport, kind: str) -> str:
    """The findings of a kind, a line each."""
    return "\n".join(finding.text for finding in report.findings if finding.kind == kind)


def refused(report: EntryReport, match: str) -> None:
    """Asserts that an entry is refused, for a reason like this."""
    assert report.faults
    assert re.search(match, texts(report, "fault")), texts(report, "fault")


def run_of(entry: Path) -> Path:
    """The folder of the only run of an entry."""
    (run,) = (entry / "runs").iterdir()
    return run


def reseal(entry: Path) -> None:
    """Makes `entry.json` say what the files are."""
    document = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
    for run_id, run in document["runs"].items():
        folder = entry / "runs" / run_id
        run["files"] = {path.name: _seal(path) for path in sorted(folder.iterdir()) if path.is_file()}
        if run["predictions_at"] is None:
            run["predictions"] = {path.name: _seal(path) for path in sorted((folder / "predictions").iterdir())}
    method = entry / "method.json"
    document["method"] = _seal(method) if method.exists() else None
    (entry / "entry.json").write_text(json.dumps(document), encoding="utf-8")


def named_after_runs(entry: Path) -> Path:
    """Gives an entry the name that its runs demand, in its document and on the disk."""
    document = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
    held = {path.name: None for path in sorted((entry / "runs").iterdir())}
    first = next(iter(document["runs"].values()))
    document["runs"] = {name: document["runs"].get(name, first) for name in held}
    (entry / "entry.json").write_text(json.dumps(document), encoding="utf-8")
    reseal(entry)
    return entry.rename(entry.with_name(f"{document['name']}-{entry_id(held)}"))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes a JSON file in place; `change` may return another document."""
    document = json.loads(path.read_text(encoding="utf-8"))
    changed = change(document)
    path.write_text(json.dumps(document if changed is None else changed), encoding="utf-8")


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each value of a document that holds no others, with the keys that lead to it."""
    if isinstance(document, dict | list):
        pairs = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in pairs:
            yield from leaves(value, (*path, key))
    else:
        yield path, document


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place."""
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value
    return None


def _seal(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}

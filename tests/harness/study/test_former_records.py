"""Records of version 1.0, whose numbers are kept and whose intervals are computed anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.core.errors import DataError
from harness.study.former_records import CARRIED, carry_over
from harness.study.run_record import RECORDS_NAME, RunRecord, read_records
from tests.harness.study.records import record

ERRORS = (0.02, 0.03, 0.05)
NAMES = ("OH-2-H", "CN-2-H", "Cl-2-H")


def former(row: RunRecord) -> dict[str, Any]:
    """The record as version 1.0 had it: of three molecules of task1, with intervals by bootstrap."""
    document = json.loads(row.line())
    document |= {"version": "1.0", "gap": {"value": 1.0, "low": 0.9, "high": 1.1}}
    for split, rows in document["molecules"].items():
        document["molecules"][split] = [[name, *each[1:8]] for name, each in zip(NAMES, rows, strict=True)]
    return document


def write(directory: Path, *documents: dict[str, Any]) -> Path:
    directory.mkdir()
    (directory / RECORDS_NAME).write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in documents))
    return directory


def made(**others: Any) -> dict[str, Any]:
    return former(record("painn", seed=0, known=ERRORS, unseen=ERRORS, **others))


def test_numbers_stay_and_intervals_are_todays(tmp_path: Path) -> None:
    document = made()
    document["relative_energy_mae"] = {split: {"value": 0.01, "reason": "x"} for split in ("test_id", "test_ood")}
    folder = write(tmp_path / "mini", document)
    assert carry_over(folder, {}) == 1
    (found,) = read_records(folder)
    error = found.force_mae["test_ood"]
    assert error.value == pytest.approx(document["force_mae"]["test_ood"]["value"])
    assert error.low is not None
    assert error.low < 0.02  # three fragments
    assert (found.gap.value, found.gap.reason) == (1.0, "no interval: all fragments give the same value")
    assert found.excess.reason == CARRIED
    assert [each.drawn for each in found.molecules["test_id"]] == [("OH",), ("CN",), ("Cl",)]
    assert "zero forces" in (found.score.reason or "")
    assert carry_over(folder, {}) == 0


def test_a_record_whose_molecules_contradict_it(tmp_path: Path) -> None:
    document = made()
    document["force_mae"]["test_id"]["value"] = 0.5
    with pytest.raises(DataError, match=r"a record states 0\.5, but its molecules"):
        carry_over(write(tmp_path / "mini", document), {})


def test_a_task_that_nobody_declared(tmp_path: Path) -> None:
    document = made() | {"task": "mine"}
    with pytest.raises(DataError, match="a custom task declared with --task-file"):
        carry_over(write(tmp_path / "mini", document), {})

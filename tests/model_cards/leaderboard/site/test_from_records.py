"""The page shows the numbers of the records: means over seeds, with intervals, under the names of their rows."""

import json
import shutil
from pathlib import Path
from statistics import fmean, stdev

import pytest

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TASKS
from harness.data.dataset import open_dataset
from model_cards.leaderboard.site.from_records import entries_of_records
from model_cards.leaderboard.site.site_entry import Gathered
from tests.model_cards.leaderboard.site.conftest import MINI

TABLE = {  # from docs/results/mini/README.md: ID and OOD force MAE and gap, with spread and interval; score
    ("painn", "task1"): ("36.4 ± 0.6 [29.4, 45.2]", "44.4 ± 1.5 [42.1, 46.9]", "1.22 ± 0.02 [1.03, 1.45]", "40.6"),
    ("additive", "task1"): ("31.1 [27.2, 35.7]", "39.2 [37.9, 40.5]", "1.26 [1.12, 1.41]", "42.6"),
    ("gfn1-xtb", "task1"): ("68.2 [62.6, 74.4]", "65.0 [62.4, 67.7]", "0.95 [0.91, 1.00]", "34.7"),
}


def text_of(number, unit, digits):  # type: ignore[no-untyped-def]
    spread = "" if number.deviation is None else f" ± {number.deviation / unit:.{digits}f}"
    return f"{number.value / unit:.{digits}f}{spread} [{number.low / unit:.{digits}f}, {number.high / unit:.{digits}f}]"


def test_the_numbers_are_those_of_the_study(mini_records: Gathered) -> None:
    """As in the table that `harness study` writes."""
    by_name = {entry.name: entry for entry in mini_records.entries}
    for (row, task), expected in TABLE.items():
        numbers = by_name[row].tasks[task].numbers
        found = (
            text_of(numbers["id_force_mae"], 1e-3, 1),
            text_of(numbers["ood_force_mae"], 1e-3, 1),
            text_of(numbers["gap"], 1.0, 2),
            f"{numbers['score'].value:.1f}",
        )
        assert found == expected, (row, task)


def test_every_row_of_the_records_is_there(mini_records: Gathered) -> None:
    """Models and controls, with the seeds of each and the data that they were measured on."""
    rows = {json.loads(line)["row"] for line in (MINI / "runs.jsonl").read_text().splitlines()}
    assert {entry.name for entry in mini_records.entries} == rows
    assert len(rows) >= 20
    assert {entry.name for entry in mini_records.entries if entry.kind == "control"} == {
        "gfn2-xtb", "gfn1-xtb", "mmff94", "zero",
    }  # fmt: skip
    painn = next(entry for entry in mini_records.entries if entry.name == "painn")
    assert {(task.n_seeds, task.seeds) for task in painn.tasks.values()} == {(3, "0, 1, 2")}
    assert painn.data.content == open_dataset("mini").content_hash[:12]
    assert (painn.protocol, painn.evidence, painn.family) == ("from-scratch", "proved", "graph-pes")
    assert "--arch painn" in painn.commands[0]
    assert mini_records.left_out == ()


def test_the_overall_score_and_its_spread(mini_records: Gathered) -> None:
    """The mean of the four tasks; its spread is that of the means of the seeds."""
    records = [json.loads(line) for line in (MINI / "runs.jsonl").read_text().splitlines()]
    scores = {(r["task"], r["seed"]): r["score"]["value"] for r in records if r["row"] == "painn"}
    of_seeds = [fmean(scores[task, seed] for task in TASKS) for seed in (0, 1, 2)]
    painn = next(entry for entry in mini_records.entries if entry.name == "painn")
    assert painn.overall is not None
    assert painn.overall.value == pytest.approx(fmean(of_seeds), rel=1e-12)
    assert painn.overall.deviation == pytest.approx(stdev(of_seeds), rel=1e-9)
    assert painn.overall.low is None
    assert "no interval" in (painn.overall.reason or "")


def test_the_interval_of_a_score_is_that_of_the_record_for_one_seed(mini_records: Gathered) -> None:
    """It is computed from errors by molecule, which must give what the harness wrote into the record."""
    records = [json.loads(line) for line in (MINI / "runs.jsonl").read_text().splitlines()]
    recorded = next(r["score"] for r in records if r["row"] == "additive" and r["task"] == "task2")
    found = next(e for e in mini_records.entries if e.name == "additive").tasks["task2"].numbers["score"]
    assert (found.low, found.high) == pytest.approx((recorded["low"], recorded["high"]), rel=1e-4)


def test_a_missing_gap_has_a_reason(mini_records: Gathered) -> None:
    """The control that made the labels has no error to divide by."""
    gfn2 = next(entry for entry in mini_records.entries if entry.name == "gfn2-xtb")
    gap = gfn2.tasks["task1"].numbers["gap"]
    assert (gap.value, gap.reason) == (None, "the error to divide by is zero")


def test_records_on_other_data_are_named(tmp_path: Path) -> None:
    """One row on other data than the rest has no place among them."""
    lines = (MINI / "runs.jsonl").read_text().splitlines()
    strange = next(place for place, line in enumerate(lines) if '"row":"knn","kind":"trained","task":"task2"' in line)
    document = json.loads(lines[strange])
    document["dataset"]["content_hash"] = "f" * 64
    lines[strange] = json.dumps(document)
    (tmp_path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    found = entries_of_records(tmp_path / "runs.jsonl", "runs.jsonl")
    (fault,) = found.left_out
    assert (fault.place, "ffffffffffff" in fault.cause) == ("runs.jsonl, knn, task2", True)
    assert "task2" not in next(entry for entry in found.entries if entry.name == "knn").tasks


def test_without_zero_forces_a_score_has_no_interval(tmp_path: Path) -> None:
    """They set the scale, whose uncertainty is part of the interval."""
    lines = [line for line in (MINI / "runs.jsonl").read_text().splitlines() if '"row":"zero"' not in line]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    entries = entries_of_records(tmp_path / "runs.jsonl", "runs.jsonl").entries
    score = next(entry for entry in entries if entry.name == "painn").tasks["task1"].numbers["score"]
    assert (f"{score.value:.1f}", score.low) == ("40.6", None)
    assert "zero forces" in (score.reason or "")


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """With the line."""
    shutil.copy(MINI / "runs.jsonl", tmp_path)
    with (tmp_path / "runs.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(DataError, match=r"runs\.jsonl:135 is not a record"):
        entries_of_records(tmp_path / "runs.jsonl", "runs.jsonl")
    (tmp_path / "runs.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no record"):
        entries_of_records(tmp_path / "runs.jsonl", "runs.jsonl")

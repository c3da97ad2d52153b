"""The section of a report with the factors of gaps."""

import math
from pathlib import Path

import pytest

from harness.study.anatomy_blocks import ANATOMY_FIGURE, anatomy_bars, anatomy_blocks, draw_anatomies
from harness.study.run_record import Number, RunRecord, write_records
from harness.study.study_report import write_report
from harness.study.summary import summarise
from tests.harness.study.records import number, record

FACTORS = {"composition": number(1.2), "conformers": number(1.1), "remaining": number(2.0)}


def test_geometric_means_over_seeds_and_rows_without_factors() -> None:
    doubled = {**FACTORS, "remaining": number(8.0)}
    contacts = {"contact": number(0.05), "apart": number(0.02)}
    records = [
        record("gfn1-xtb"),
        record("painn", seed=0, factors=FACTORS, contact_force_mae=contacts),
        record("painn", seed=1, factors=doubled, contact_force_mae=contacts),
    ]
    lines = summarise(records)
    text = "\n".join(anatomy_blocks(lines, "![figure](anatomy.png)"))
    assert "| painn | 5.28 | 1.20 [1.08, 1.32] | 1.10 [0.99, 1.21] | – | – | 4.00 [3.60, 4.40] | 50.0 ± 0.0 [" in text
    assert "No anatomy, because no gap or because the record is older: `gfn1-xtb` on task1." in text
    assert text.endswith("![figure](anatomy.png)")
    bars = anatomy_bars(lines)
    assert [bar.model for bar in bars] == ["painn"]
    assert math.prod(bars[0].factors.values()) == pytest.approx(5.28)


def test_a_report_says_that_no_record_has_factors(tmp_path: Path) -> None:
    lines = summarise([record("gfn1-xtb")])
    title, text = anatomy_blocks(lines, "")
    assert title == "## Anatomy of a gap"
    assert text.startswith("None of these records holds the factors of a gap")
    assert anatomy_bars(lines) == []
    assert draw_anatomies(lines, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_seeds_that_differ_in_their_factors_have_no_mean() -> None:
    other = {"composition": number(1.2), "remaining": number(2.0)}
    records = [record("painn", seed=0, factors=FACTORS), record("painn", seed=1, factors=other)]
    assert anatomy_bars(summarise(records)) == []


def test_the_report_draws_the_figure(tmp_path: Path) -> None:
    write_records(tmp_path, [record("painn", seed=0, factors=FACTORS)], {})
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "## Anatomy of a gap" in text
    assert f"]({ANATOMY_FIGURE})" in text
    assert (tmp_path / ANATOMY_FIGURE).exists()


def test_a_record_keeps_its_factors() -> None:
    with_factors = record("painn", seed=0, factors=FACTORS, contact_force_mae={"apart": number(0.02)})
    assert RunRecord.model_validate_json(with_factors.line()) == with_factors
    assert '"factors"' not in record("painn", seed=0).line()
    assert Number(value=1.0, reason="no interval").low is None

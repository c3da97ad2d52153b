from pathlib import Path

import pytest
from pydantic import ValidationError

from dataset_builders.core.errors import DataError, SetupError
from harness.scoring.intervals import Interval
from harness.study.run_record import RECORDS_NAME, Number, RunRecord, keep_record, read_records, rounded, write_records
from tests.harness.study.records import record

ORDER = {"zero": 0, "painn": 1}


def test_a_record_survives_its_line() -> None:
    for each in (record("zero"), record("painn", "task3", seed=2)):
        assert RunRecord.model_validate_json(each.line()) == each
        assert "\n" not in each.line()


def test_records_are_kept_in_order_and_once(tmp_path: Path) -> None:
    for each in (record("painn", seed=1), record("zero", "task2"), record("painn", seed=0), record("zero")):
        keep_record(tmp_path, each, ORDER)
    keep_record(tmp_path, record("painn", seed=1, known=(0.5, 0.5)), ORDER)
    found = read_records(tmp_path)
    assert [each.place for each in found] == [
        ("zero", "task1", None),
        ("zero", "task2", None),
        ("painn", "task1", 0),
        ("painn", "task1", 1),
    ]
    assert found[-1].molecules["test_id"][0].force_mae == 0.5


def test_the_order_of_adding_does_not_show(tmp_path: Path) -> None:
    records = [record("zero"), record("painn", seed=0), record("unknown"), record("zero", "task4")]
    write_records(tmp_path / "a", records, ORDER)
    write_records(tmp_path / "b", records[::-1], ORDER)
    assert (tmp_path / "a" / RECORDS_NAME).read_bytes() == (tmp_path / "b" / RECORDS_NAME).read_bytes()


def test_no_records_yet(tmp_path: Path) -> None:
    assert read_records(tmp_path) == []


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    write_records(tmp_path, [record("zero"), record("painn", seed=0)], ORDER)
    path = tmp_path / RECORDS_NAME
    path.write_text(path.read_text().replace('"version":"2.0","row":"painn"', '"version":"0.9","row":"painn"'))
    with pytest.raises(DataError, match=r"runs\.jsonl:2 is not a record of version 2\.0 \(version .*delete that line"):
        read_records(tmp_path)


def test_a_record_with_intervals_of_the_former_kind_is_named(tmp_path: Path) -> None:
    write_records(tmp_path, [record("zero")], ORDER)
    path = tmp_path / RECORDS_NAME
    path.write_text(path.read_text().replace('"version":"2.0"', '"version":"1.0"'))
    with pytest.raises(DataError, match=r"runs\.jsonl:1 is a record of version 1\.0, whose intervals"):
        read_records(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="choose a folder with --out"):
        write_records(tmp_path / "file" / "results", [record("zero")], ORDER)


def test_numbers_are_rounded_and_explained() -> None:
    assert rounded(0.123456789) == 0.123457
    assert Number.of(Interval(1.23456789, 1.0, 2.0)) == Number(value=1.23457, low=1.0, high=2.0)
    assert Number.of(Interval(None, reason="no atoms")).reason == "no atoms"
    with pytest.raises(ValidationError, match="an interval or a reason"):
        Number(value=1.0)

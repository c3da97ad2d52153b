"""What a stopwatch counts; how long that took is not tested."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from harness.inference.stopwatch import Stopwatch
from harness.results.cost import read_parts
from tests.harness.toy_potential import TRAITS, Harmonic

Source = Literal["computed", "resumed"]

POTENTIAL = Harmonic(replace(TRAITS, processor="A CPU", threads=3))


def test_the_first_batch_and_what_was_found_are_not_timed(tmp_path: Path) -> None:
    seen: list[tuple[int, Source]] = []
    with Stopwatch(POTENTIAL, tmp_path, 1) as stopwatch:
        count = stopwatch.watched(lambda structures, source: seen.append((structures, source)))
        calls: list[tuple[int, Source]] = [(50, "resumed"), (10, "computed"), (20, "computed"), (5, "computed")]
        for each in calls:
            count(*each)
    assert seen == calls
    (part,) = read_parts(tmp_path)
    assert (part.rank, part.n_computed, part.n_timed) == (1, 35, 25)
    assert (part.processor, part.threads, part.peak_device_bytes) == ("A CPU", 3, None)
    assert part.seconds > 0.0
    assert part.peak_resident_bytes is None or part.peak_resident_bytes > 2**20


def test_a_run_that_computes_nothing_writes_nothing(tmp_path: Path) -> None:
    with Stopwatch(POTENTIAL, tmp_path, 0) as stopwatch:
        stopwatch.watched(lambda *_: None)(7, "resumed")
    assert list(tmp_path.iterdir()) == []


def test_what_was_timed_before_an_error_is_kept(tmp_path: Path) -> None:
    def interrupted(structures: int, source: Source) -> None:
        if structures == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Stopwatch(POTENTIAL, tmp_path, 0) as stopwatch:
        any(stopwatch.watched(interrupted)(structures, "computed") for structures in (3, 4, 5))
    assert [part.n_timed for part in read_parts(tmp_path)] == [4 + 5]


def test_a_folder_that_cannot_be_written_to_costs_only_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Stopwatch(POTENTIAL, tmp_path / "absent", 0) as stopwatch:
        stopwatch.watched(lambda *_: None)(4, "computed")
    assert "the speed of this run is not recorded" in caplog.text

"""What an evaluation cost: parts that several processes timed, one after another or at a time."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.results.cost import (
    TIMING_NAME,
    CostRecord,
    JobsRecord,
    TimedPart,
    cost_of,
    joint_cost,
    read_parts,
    three_digits,
)

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def part(rank: int = 0, n_timed: int = 100, seconds: float = 2.0, hours: int = 0, **changes: object) -> TimedPart:
    fields = {
        "started": START + timedelta(hours=hours),
        "rank": rank,
        "processor": "A CPU",
        "threads": 1,
        "n_computed": n_timed + 10,
        "n_timed": n_timed,
        "seconds": seconds,
        "peak_device_bytes": None,
        "peak_resident_bytes": 2**30,
    }
    return TimedPart.model_validate(fields | changes)


def cost(parts: list[TimedPart], n_structures: int = 1000) -> CostRecord:
    found = cost_of(parts, n_structures)
    assert found is not None
    return found


def test_one_process_at_one_go() -> None:
    found = cost([part()], 110)
    assert found.structures_per_second == pytest.approx(50.0)
    assert (found.n_timed, found.n_structures, found.n_processes) == (100, 110, 1)
    assert found.speed_text == "50.0 structures/s"
    assert found.hardware_text == "A CPU, 1 thread"
    assert found.memory_text == "1.00 GiB of memory"


def test_parts_of_a_resumed_run_follow_each_other() -> None:
    found = cost([part(n_timed=100, seconds=2.0), part(n_timed=300, seconds=3.0, hours=1)])
    assert found.structures_per_second == pytest.approx(400 / 5.0)
    assert (found.n_timed, found.n_structures, found.n_processes) == (400, 1000, 1)


def test_processes_compute_at_a_time() -> None:
    found = cost([part(0, 100, 2.0), part(1, 120, 2.0, peak_resident_bytes=2**31)])
    assert found.structures_per_second == pytest.approx(50.0 + 60.0)
    assert (found.n_processes, found.n_timed) == (2, 220)
    assert found.hardware_text == "A CPU, 1 thread, 2 processes"
    assert found.memory_text == "2.00 GiB of memory"


JOBS = JobsRecord(
    allowed=4,
    used=3,
    alone_per_second=40.0,
    together_per_second=110.0,
    start_seconds=5.0,
    reason=None,
    peak_resident_bytes=3 * 2**30,
)


def test_jobs_of_one_machine_are_one_part() -> None:
    found = cost([part(jobs=JOBS), part(n_timed=50, hours=1)])
    assert (found.n_processes, found.jobs) == (3, JOBS)
    assert found.hardware_text == "A CPU, 1 thread, 3 processes"
    assert found.memory_text == "3.00 GiB of memory in 3 processes"


def test_a_part_without_jobs_that_timed_more_counts() -> None:
    found = cost([part(jobs=JOBS), part(n_timed=500, hours=1)])
    assert (found.n_processes, found.jobs) == (1, None)
    assert found.memory_text == "1.00 GiB of memory"


def test_jobs_of_several_runs_are_named_where_they_are_the_same() -> None:
    one, other = cost([part(jobs=JOBS)]), cost([part(jobs=JOBS.model_copy(update={"start_seconds": 6.0}))])
    same, different = joint_cost([one, one]), joint_cost([one, other])
    assert same is not None
    assert same.jobs == JOBS
    assert different is not None
    assert (different.jobs, different.n_processes) == (None, 3)


def test_of_several_kinds_of_hardware_that_counts_which_timed_most() -> None:
    gpu = part(n_timed=800, seconds=1.0, processor="A GPU", peak_device_bytes=3 * 2**29)
    found = cost([part(), gpu])
    assert (found.processor, found.structures_per_second, found.n_timed) == ("A GPU", 800.0, 800)
    assert found.memory_text == "1.50 GiB of GPU memory"


def test_one_batch_is_not_timed() -> None:
    found = cost([part(n_timed=0, seconds=0.0)])
    assert found.structures_per_second is None
    assert found.speed_text == "not timed (no process computed a second batch)"


def test_processes_count_although_none_was_timed() -> None:
    brief = [part(rank=rank, n_timed=0, seconds=0.0) for rank in (0, 1)]
    assert cost(brief).n_processes == 2
    assert cost([*brief, part(rank=0)]).n_processes == 1  # the speed is that of this one alone


def test_nothing_timed_is_no_cost() -> None:
    assert cost_of([], 10) is None


def test_a_missing_speed_needs_a_reason() -> None:
    document = cost([part()]).model_dump() | {"structures_per_second": None}
    with pytest.raises(ValidationError, match="a reason is needed where the speed is missing"):
        CostRecord.model_validate(document)


def test_runs_of_a_method_follow_each_other() -> None:
    first, second = cost([part(n_timed=100, seconds=1.0)], 110), cost([part(n_timed=100, seconds=4.0)], 110)
    joint = joint_cost([first, second])
    assert joint is not None
    assert joint.structures_per_second == pytest.approx(200 / 5.0)
    assert (joint.n_timed, joint.n_structures) == (200, 220)
    assert joint_cost([first]) == first


@pytest.mark.parametrize("other", [None, cost([part(processor="A GPU")]), cost([part(n_timed=0, seconds=0.0)])])
def test_a_method_of_unlike_runs_has_no_speed(other: CostRecord | None) -> None:
    assert joint_cost([cost([part()]), other]) is None


def test_parts_are_read_as_they_were_written(tmp_path: Path) -> None:
    parts = [part(0), part(1), part(0, hours=1)]
    for each in reversed(parts):
        each.save(tmp_path)
    assert read_parts(tmp_path) == parts


def test_a_damaged_part_only_costs_the_speed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part().save(tmp_path)
    (tmp_path / TIMING_NAME / "damaged.json").write_text('{"seconds": -1}')
    with caplog.at_level(logging.WARNING):
        assert read_parts(tmp_path) == [part()]
    assert "damaged.json is no record of a timed part" in caplog.text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.01234, "0.0123"), (9.996, "10.0"), (17.04, "17.0"), (152.6, "153"), (45_123.0, "45,100"), (0.0, "0")],
)
def test_three_digits(number: float, text: str) -> None:
    assert three_digits(number) == text


@pytest.mark.parametrize("name", ["n_timed", "n_computed", "seconds", "peak_resident_bytes"])
def test_numbers_that_no_clock_and_no_counter_give_are_refused(name: str) -> None:
    """Such a part is left out when it is read, and no sum or ratio of others can overflow."""
    with pytest.raises(ValidationError, match=name):
        part(**{name: 10**400})  # type: ignore[arg-type]


def test_a_time_too_short_to_be_measured_gives_no_speed() -> None:
    found = cost([part(n_timed=2**39, seconds=1e-320), part(n_timed=2**39, seconds=1e-320)])
    assert found.structures_per_second is None
    assert cost([part(rank=rank, n_timed=2**39, seconds=1e-6) for rank in range(9)]).structures_per_second is not None

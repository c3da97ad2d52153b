import re
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pytest

from dataset_builders.build.build_plan import MIN_PROBES, plan_build
from dataset_builders.build.cost import burst_cost, unit_cost
from dataset_builders.build.fanout import BuildSettings, all_units
from dataset_builders.build.unit_store import claim_work_dir
from dataset_builders.build.unit_worker import Probe
from dataset_builders.build.work_units import make_unit
from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.engines.probing import BYTES_PER_ATOM, duration
from dataset_builders.engines.workers import Pool
from dataset_builders.tasks.editions import EDITIONS
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.small_build import small_settings


class FakeWorkers(Executor):
    """Workers on which a burst takes so many processor seconds for each unit of cost, and twice that by the clock."""

    def __init__(self, rate=1e-3, error=None):
        self.bursts = []
        self._rate, self._error = rate, error

    def submit(self, _, word, trajectory, burst, seed):
        self.bursts.append((word, trajectory, burst))
        future = Future()
        if self._error:
            future.set_exception(self._error)
        else:
            seconds = self._rate * burst_cost(word)
            future.set_result(Probe(word, seconds, 2 * seconds))
        return future

    def pool(self, workers):
        @contextmanager
        def open_pool():
            yield Pool(self, workers)

        return open_pool


def settings_of(edition, work_dir, *tasks):
    return BuildSettings(tuple(TASKS[task] for task in tasks), EDITIONS[edition], 0, work_dir)


def test_a_plan_is_the_cost_of_what_is_missing_at_the_rate_of_the_probe(tmp_path):
    settings = settings_of("mini", tmp_path, *TASKS)
    workers = FakeWorkers()
    plan = plan_build(settings, workers.pool(4))
    total = sum(unit_cost(unit) for unit in all_units(settings))
    assert plan.cpu_seconds == pytest.approx(1e-3 * total)
    assert plan.together.n_molecules == 124
    assert plan.together.n_frames == 5580
    assert plan.rate.error == pytest.approx(0.0, abs=1e-9)
    assert sum(task.n_frames for task in plan.tasks) == 5580
    row = next(line for line in plan.text().splitlines() if line.startswith("together"))
    assert re.split(" {2,}", row)[-2] == duration(2e-3 * total / 4)
    assert "each worker got 50% of a core" in plan.text()
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_that_of_the_mini_edition(tmp_path):
    from dataset_builders.folder.mini import MINI_DIRECTORY

    plan = plan_build(settings_of("mini", tmp_path, *TASKS), FakeWorkers().pool(1))
    size = sum(path.stat().st_size for task in TASKS for path in (MINI_DIRECTORY / task).glob("*.parquet"))
    assert plan.together.n_bytes == pytest.approx(size, rel=0.02)
    assert plan.together.n_bytes == pytest.approx(BYTES_PER_ATOM * 100_100, rel=1e-6)


@pytest.mark.parametrize(("workers", "probes"), [(1, MIN_PROBES), (64, 64), (1000, 256), (None, MIN_PROBES)])
def test_the_probe_keeps_all_workers_busy(workers, probes, tmp_path):
    fake = FakeWorkers()
    plan_build(settings_of("mini", tmp_path, "task1"), fake.pool(workers))
    assert len(fake.bursts) == probes
    costs = [burst_cost(word) for word, _, _ in fake.bursts]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 5 * costs[-1]


def test_an_engine_that_does_not_count_its_workers_has_no_time(tmp_path):
    text = plan_build(settings_of("mini", tmp_path, "task1"), FakeWorkers().pool(None)).text()
    assert re.search(r"^task  .*core-hours  time  MB$", text, re.MULTILINE)
    assert re.search(r"^task1  70 .* -     0\.6$", text, re.MULTILINE)


def test_what_is_done_costs_nothing(small_build, tmp_path):
    settings, _ = small_build
    workers = FakeWorkers()
    plan = plan_build(settings, workers.pool(1))
    assert (plan.together.n_done, plan.together.n_missing, plan.cpu_seconds) == (5, 0, 0.0)
    assert workers.bursts == []
    assert "no unit is missing" in plan.text()
    fresh = small_settings(tmp_path, settings.seed)
    claim_work_dir(tmp_path, fresh.seed)
    make_unit(all_units(fresh)[0], tmp_path, fresh.seed)
    assert plan_build(fresh, workers.pool(1)).together.n_missing == 4


def test_a_work_folder_of_another_seed_is_refused(tmp_path):
    claim_work_dir(tmp_path, 1)
    with pytest.raises(UsageError, match="contains frames with seed = 1; this build needs 0"):
        plan_build(settings_of("mini", tmp_path, "task1"), FakeWorkers().pool(1))


def test_workers_that_die_over_the_probe(tmp_path):
    workers = FakeWorkers(error=BrokenProcessPool("gone"))
    with pytest.raises(SetupError, match="a worker died during the probe: gone; the machine may be short of memory"):
        plan_build(settings_of("mini", tmp_path, "task1"), workers.pool(1))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (42.0, "42 s"), (720.0, "12 min"), (12_600.0, "3.5 h"), (4e6, "1,111.1 h")]
)
def test_times_for_people(seconds, text):
    assert duration(seconds) == text

"""What becomes of units whose workers die, on stand-ins for engines."""

from collections import Counter
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace

import pytest

from dataset_builders.build.fanout import make_units
from dataset_builders.build.work_units import UnitReport, plan_units
from dataset_builders.core.errors import IncompleteError, SetupError
from dataset_builders.engines.campaign import MAX_DEATHS
from dataset_builders.engines.workers import Pool
from dataset_builders.tasks.regions import Region
from tests.dataset_builders.small_build import SMALL_TASK, small_settings

LONGER_TASK = replace(SMALL_TASK, train=(Region(("H", "OH"), (1, 2), "H"),))
UNITS = plan_units((LONGER_TASK,), small_settings(None).edition)
KILLER = UNITS[2]


class WorkerLostError(Exception):
    """What an engine with other workers left says of a unit."""


class FakeExecutor(Executor):
    """Settles each call at once, as `outcome` says: an exception for the future, or nothing for success."""

    def __init__(self, outcome):
        self._outcome = outcome

    def submit(self, _, unit, *__):
        future = Future()
        error = self._outcome(unit)
        if error is None:
            future.set_result(UnitReport(unit, 1.0))
        else:
            future.set_exception(error)
        return future


class Engine:
    def __init__(self, outcome, lost=(), workers=1):
        self.opened = 0
        self.tried = Counter()
        self._outcome, self._lost, self._workers = outcome, lost, workers

    @contextmanager
    def open(self):
        self.opened += 1
        yield Pool(FakeExecutor(self._of_unit), self._workers, self._lost)

    def _of_unit(self, unit):
        self.tried[unit] += 1
        return self._outcome(self, unit)


def make(engine):
    seen = []
    try:
        make_units(UNITS, small_settings(None), engine.open, seen.append)
    finally:
        engine.made = [report.unit for report in seen if report.error is None]
    return engine.made


def test_a_lost_unit_is_made_again_by_another_worker():
    def dies_once(engine, unit):
        return WorkerLostError() if unit == KILLER and engine.tried[unit] == 1 else None

    engine = Engine(dies_once, (WorkerLostError,))
    assert sorted(make(engine)) == UNITS
    assert engine.opened == 1
    assert engine.tried[KILLER] == 2


def test_a_unit_that_kills_its_workers_is_given_up_and_the_others_are_made():
    engine = Engine(lambda _, unit: WorkerLostError() if unit == KILLER else None, (WorkerLostError,))
    with pytest.raises(IncompleteError, match=rf"1 of 9 units failed:\n  {KILLER}: its worker died 3 times"):
        make(engine)
    assert engine.tried[KILLER] == MAX_DEATHS
    assert sorted([*engine.made, KILLER]) == UNITS


@pytest.mark.parametrize("error", [BrokenProcessPool, CancelledError])
def test_a_pool_that_breaks_is_opened_again_and_the_suspect_comes_last(error):
    def breaks(engine, unit):
        engine.broken = engine.tried[KILLER] > 0 and (unit == KILLER or engine.opened == engine.tried[KILLER])
        return error() if engine.broken else None

    engine = Engine(breaks)
    with pytest.raises(IncompleteError, match=rf"1 of 9 units failed:\n  {KILLER}: its worker died 3 times"):
        make(engine)
    assert sorted([*engine.made, KILLER]) == UNITS
    # All others were made by the second pool, before the suspect was tried again.
    assert engine.opened == MAX_DEATHS
    assert engine.made[:2] == UNITS[:2]


def test_workers_that_die_before_anything_is_done_are_told_of_soon():
    engine = Engine(lambda *_: BrokenProcessPool())
    with pytest.raises(
        IncompleteError,
        match=r"the workers died 3 times before any of the units was done; 9 units are left, the first is",
    ):
        make(engine)
    assert engine.opened == MAX_DEATHS


def test_what_no_other_worker_could_do_either_ends_the_build_at_once():
    engine = Engine(lambda *_: SetupError("more than one thread"), (WorkerLostError,))
    with pytest.raises(SetupError, match="more than one thread"):
        make(engine)
    assert engine.opened == 1

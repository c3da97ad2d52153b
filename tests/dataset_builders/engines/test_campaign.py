"""One piece that kills its worker, or fails in any other way, takes no other with it, on whichever engine."""

import pickle
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pytest

from dataset_builders.core import errors
from dataset_builders.core.errors import MissingPackageError, MlipOodError, SetupError
from dataset_builders.engines.campaign import MAX_DEATHS, Work, do_all
from dataset_builders.engines.workers import Pool, dask_scheduler, local_processes
from tests.dataset_builders.pieces import Piece, Report, do


def run(pieces, open_pool, do=do):
    """Numbers of the pieces that were done, and what failed."""
    reports = []
    work = Work(
        noun="pieces",
        do=do,
        lost=lambda piece, cause: Report(piece.number, cause),
        failures=lambda report: [report.error] if report.error else [],
        progress=reports.append,
    )
    failures = do_all(pieces, work, open_pool)
    assert len({report.number for report in reports}) == len(reports), "each piece is settled once"
    return sorted(report.number for report in reports if not report.error), failures


def pieces_of(folder, kinds, count=12):
    return [Piece(number, kinds.get(number, "good"), folder) for number in range(count)]


def tries_of(folder, number):
    """With how many others at work each try of a piece began, in order."""
    return [int(path.stem.split(".")[-1]) for path in sorted(folder.glob(f"{number}-*.tried"))]


@contextmanager
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield Pool(executor, 2)


def two_processes():
    return local_processes(2)


@pytest.mark.parametrize("killers", [{0}, {4}, {11}, {3, 4}, {0, 1, 2, 3}, {0, 2, 4, 6, 8, 10}])
def test_pieces_that_kill_their_workers_are_named_and_all_others_are_done(tmp_path, killers):
    kinds = {number: ("ends", "killed")[number % 2] for number in killers}
    done, failures = run(pieces_of(tmp_path, kinds), two_processes)
    assert set(done) == set(range(12)) - killers
    assert sorted(failure.partition(":")[0] for failure in failures) == sorted(f"piece {each}" for each in killers)
    assert all("its worker died 3 times, the last time with no other work running" in failure for failure in failures)
    for number in range(12):
        tries = tries_of(tmp_path, number)
        assert len(tries) == (MAX_DEATHS if number in killers else 1)
        assert number not in killers or tries[1:] == [0, 0]


def test_a_piece_that_needs_the_machine_for_itself_is_done(tmp_path):
    done, failures = run(pieces_of(tmp_path, {3: "greedy", 7: "greedy", 8: "short"}), two_processes)
    assert (done, failures) == (list(range(12)), [])
    assert [tries_of(tmp_path, number)[1:] for number in (3, 7, 8)] == [[0], [0], [0]]


@pytest.mark.parametrize("open_pool", [two_processes, threads])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raises", r"piece 5: ValueError: a bad angle \(pieces\.py, line \d+\)"),
        ("exits", r"piece 5: SystemExit: 7"),
        ("unreadable", r"piece 5: NeedsTwoError: salt and pepper"),
        ("speechless", r"piece 5: UnreadableError"),
        ("unsendable", r"piece 5: its result, of type Report, cannot be sent back: \w+: .*pickle"),
        ("never enough", r"piece 5: its worker died 3 times"),
    ],
)
def test_whatever_a_piece_raises_is_its_own_failure(tmp_path, open_pool, kind, message):
    done, failures = run(pieces_of(tmp_path, {5: kind}), open_pool)
    assert done == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    (failure,) = failures
    assert re.match(message, failure), failure


def cannot_work(piece):
    raise MissingPackageError("pyscf", "dft", "labels of wB97X")


@pytest.mark.parametrize("open_pool", [two_processes, threads])
def test_what_no_worker_can_do_ends_the_whole_with_its_own_message(tmp_path, open_pool):
    with pytest.raises(SetupError, match=r"labels of wB97X needs the package 'pyscf'.*'mlip-ood\[dft\]'"):
        run(pieces_of(tmp_path, {}), open_pool, cannot_work)


def test_every_error_of_the_project_can_be_sent_from_a_worker():
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MlipOodError)]
    assert MissingPackageError in kinds
    for kind in kinds:
        error = kind("a", "b", "c") if kind is MissingPackageError else kind("what, and the remedy")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (kind, str(error))


class Breaking:
    """An engine of processes that breaks as a whole where one dies; pieces are the numbers below `count`."""

    def __init__(self, workers, killers):
        self.workers, self.killers = workers, killers
        self.opened = 0
        self.tried = Counter()

    @contextmanager
    def open(self):
        self.opened += 1
        broken = []

        def call(function, piece):
            self.tried[piece.number] += 1
            if piece.number in self.killers:
                broken.append(piece)
            if broken:
                raise BrokenProcessPool
            return function(piece)

        with ThreadPoolExecutor(1) as executor:
            submit = executor.submit
            executor.submit = lambda function, piece: submit(call, function, piece)
            yield Pool(executor, self.workers)


def number_of(piece):
    return Report(piece.number)


@pytest.mark.parametrize("workers", [1, 4, None])
@pytest.mark.parametrize("killers", [{0}, {5}, {11}, {4, 5, 7}])
def test_where_an_engine_breaks_as_a_whole_only_those_that_die_alone_are_given_up(tmp_path, workers, killers):
    engine = Breaking(workers, killers)
    done, failures = run(pieces_of(tmp_path, {}), engine.open, number_of)
    assert set(done) == set(range(12)) - killers
    assert len(failures) == len(killers)
    assert engine.opened <= 1 + MAX_DEATHS * len(killers), "the number of restarts is bounded"


def test_workers_of_which_none_lives_are_told_of_soon(tmp_path):
    done, failures = run(pieces_of(tmp_path, dict.fromkeys(range(60), "ends"), 60), two_processes)
    assert done == []
    assert failures == [
        "the workers died 24 times before any of the pieces was done; 60 pieces are left, the first is piece "
        f"{failures[0].partition('the first is piece ')[2].partition(':')[0]}: the machine may be short of memory; try "
        "fewer --workers"
    ]


@pytest.mark.slow
def test_a_dask_cluster_gives_up_the_killer_alone(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    dask = pytest.importorskip("dask")
    # A result that was on a worker which died is asked for until this time is over.
    soon = {"distributed.comm.timeouts.connect": "2s", "distributed.scheduler.allowed-failures": 0}
    with (
        dask.config.set(soon),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
    ):
        address = cluster.scheduler_address.removeprefix("tcp://")
        done, failures = run(pieces_of(tmp_path, {4: "killed", 9: "raises"}), lambda: dask_scheduler(address))
    assert done == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]
    assert sorted(failure.partition(":")[0] for failure in failures) == ["piece 4", "piece 9"]

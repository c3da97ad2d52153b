import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.inference.board import ARRIVAL_VARIABLE, Board, Limits, Note
from harness.inference.meeting import ALONE, Meeting, meeting
from harness.inference.progress import no_progress
from harness.inference.ranks import Ranks
from tests.harness.inference.test_ranks import free_port

QUICK = Limits(beat=0.02, arrival=1.0, silence=1.0, farewell=0.3)


class Notes:
    """A store in the memory of one process; as a server it can hang, or end."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.has_ended = False
        self.answers = threading.Event()
        self.answers.set()

    def set(self, key: str, value: str) -> None:
        self.answers.wait()
        if self.has_ended:
            raise RuntimeError("connection reset by peer")
        self.values[key] = value

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return [self.values[key].encode() for key in keys]


def come(store: Notes, rank: int, world_size: int = 2, limits: Limits = QUICK) -> Meeting:
    ranks = Ranks(rank, world_size)
    return Meeting(ranks, Board(store, ranks, limits, time.monotonic()))


def together(store: Notes, *parts: Callable[[Meeting], object], limits: Limits = QUICK) -> list[object]:
    """What each of some processes gives, or the error that ends it; they run as threads."""
    found: list[object] = [None] * len(parts)

    def run(rank: int) -> None:
        one = come(store, rank, len(parts), limits)
        assert one.board is not None
        failure: str | None = None
        try:
            found[rank] = parts[rank](one)
        except (ModelError, SetupError) as error:
            found[rank], failure = error, str(error)
        one.board.close(failure)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_alone_nobody_is_waited_for() -> None:
    ALONE.gather("here")
    assert ALONE.broadcast("number", lambda: 7) == 7
    assert ALONE.watched(no_progress) is no_progress
    with meeting(Ranks()) as one:
        assert one is ALONE


def test_all_come_to_each_point_and_use_what_the_first_says() -> None:
    order: list[str] = []

    def part(name: str, number: int) -> Callable[[Meeting], int]:
        def run(one: Meeting) -> int:
            first = one.broadcast("number", lambda: number)
            order.append(f"{name} before")
            one.gather("middle")
            order.append(f"{name} after")
            return 10 * first + one.broadcast("number", lambda: number + 1)

        return run

    assert together(Notes(), part("a", 1), part("b", 5), part("c", 8)) == [12, 12, 12]
    assert all("before" in each for each in order[:3])


def test_a_share_that_takes_longer_than_any_limit_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(beat=0.02, arrival=0.5, silence=0.5, farewell=0.5)

    def slow(one: Meeting) -> str:
        one.gather("start")
        time.sleep(1.5)
        one.gather("end")
        return "slow"

    def fast(one: Meeting) -> str:
        one.gather("start")
        one.gather("end")
        return "fast"

    assert together(Notes(), fast, slow, limits=limits) == ["fast", "slow"]
    assert caplog.messages == ["rank 0 waits for rank 1, still running"]
    assert together(Notes(), slow, fast, limits=limits) == ["slow", "fast"]


def test_one_that_never_comes_is_named() -> None:
    begun = time.monotonic()
    with pytest.raises(
        SetupError, match=r"rank 0 of 3 waited 1 s for ranks 1, 2, which never started.*same MASTER_ADDR"
    ):
        come(Notes(), 0, 3).gather("start")
    assert time.monotonic() - begun < 10.0


def test_a_note_of_an_earlier_attempt_is_no_process() -> None:
    store = Notes()
    store.values["note1"] = Note(points=("start",), failure="it crashed").text()
    with pytest.raises(SetupError, match="waited 1 s for rank 1, which never started"):
        come(store, 0).gather("start")


def test_one_that_falls_silent_is_named() -> None:
    store = Notes()
    other = come(store, 1)
    one = come(store, 0)
    other.board.pin("start")  # type: ignore[union-attr]
    one.gather("start")
    other.board._is_closed = True  # type: ignore[union-attr]  # as if it was killed
    with pytest.raises(
        SetupError, match=r"has not heard from rank 1 for 1 s: ended or hanging.*finished work is kept: start all"
    ):
        one.gather("end")


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_fails_is_named_with_its_message(rank: int) -> None:
    def broken(one: Meeting) -> None:
        one.gather("start")
        raise ModelError("no chlorine")

    def well(one: Meeting) -> None:
        one.gather("start")
        one.gather("end")

    parts = [well, well, well]
    parts[rank] = broken
    found = together(Notes(), *parts)
    for number, error in enumerate(found):
        assert isinstance(error, ModelError if number == rank else SetupError)
        if number != rank:
            said = f"rank {number} of 3 stops, since rank {rank} failed: no chlorine; finished work is kept: start all"
            assert str(error).startswith(said)


def test_one_that_computes_stops_when_another_fails() -> None:
    counted: list[int] = []

    def broken(one: Meeting) -> None:
        one.gather("start")
        raise ModelError("no chlorine")

    def computes(one: Meeting) -> None:
        one.gather("start")
        count = one.watched(lambda number, _: counted.append(number))
        while len(counted) < 2000:
            count(1, "computed")
            time.sleep(0.01)

    _, error = together(Notes(), broken, computes)
    assert "rank 1 of 2 stops, since rank 0 failed: no chlorine" in str(error)
    assert len(counted) < 2000


def test_processes_with_different_commands_do_not_wait_for_each_other() -> None:
    found = together(Notes(), lambda one: one.gather("start of run a"), lambda one: one.gather("start of run b"))
    assert any("is at 'start of run a', but rank 1 at 'start of run b'; expected all" in str(each) for each in found)
    assert all(isinstance(each, SetupError) for each in found)
    _, error = together(Notes(), lambda _: None, lambda one: one.gather("one more model"))
    assert "waits for rank 0, which had less work and has ended" in str(error)


def test_a_process_that_is_started_again_is_not_taken_for_the_one_before() -> None:
    store = Notes()
    other, one = come(store, 1), come(store, 0)
    other.board.pin("start")  # type: ignore[union-attr]
    one.gather("start")
    other.board._is_closed = True  # type: ignore[union-attr]
    again = come(store, 1)
    with pytest.raises(SetupError, match="found rank 1 started a second time"):
        one.gather("end")
    again.board.close("the test is over")  # type: ignore[union-attr]


@pytest.mark.parametrize("ends", [True, False])
def test_a_server_that_ends_or_hangs_is_reported(ends: bool) -> None:
    store = Notes()
    one, other = come(store, 0), come(store, 1)
    other.board.pin("start")  # type: ignore[union-attr]
    one.gather("start")
    if ends:
        store.has_ended = True
    else:
        store.answers.clear()
    with pytest.raises(SetupError, match=r"has lost contact with the other ranks .*has ended or cannot be reached"):
        one.gather("end")
    store.answers.set()


def test_a_pause_of_this_process_is_no_silence_of_the_others() -> None:
    store = Notes()
    one, other = come(store, 0), come(store, 1)
    other.board.pin("start")  # type: ignore[union-attr]
    one.gather("start")
    store.answers.clear()  # neither gets an answer meanwhile, as on a machine that is suspended
    time.sleep(1.2)
    store.answers.set()
    other.board.pin("end")  # type: ignore[union-attr]
    one.gather("end")


@pytest.mark.parametrize(
    ("variables", "kind", "message"),
    [
        ({"MASTER_PORT": "29500"}, SetupError, "MASTER_ADDR is not set"),
        ({"MASTER_ADDR": "127.0.0.1"}, SetupError, "MASTER_PORT is not set"),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}, UsageError, "MASTER_PORT is 'x'; expected a port number"),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "70000"}, UsageError, "MASTER_PORT is '70000'"),
        ({ARRIVAL_VARIABLE: "0"}, UsageError, "MLIP_OOD_ARRIVAL_S is '0'; expected a number of seconds"),
    ],
)
def test_others_that_cannot_be_found_are_reported(
    variables: dict[str, str], kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(kind, match=message), meeting(Ranks(0, 2)):
        pass


def test_a_first_process_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    begun = time.monotonic()
    said = "rank 1 of 2 waited 1 s for rank 0, which never started: nothing listens at"
    with pytest.raises(SetupError, match=said), meeting(Ranks(1, 2), QUICK):
        pass
    assert time.monotonic() - begun < 10.0


def test_nobody_is_waited_for_longer_than_a_minute() -> None:
    limits = Limits()
    assert max(limits.arrival, limits.silence) + limits.farewell < 60.0


def start(dataset: Path, output: Path, what: str) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of two processes that evaluate three models, without a launcher that ends them."""
    shared = os.environ | {
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "tests.harness.meeting_process", str(dataset), str(output), what]
    started = [
        subprocess.Popen(
            command, env=shared | {"RANK": rank}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(started, said, strict=True)]


@pytest.mark.slow  # test_ranks.py evaluates three models in two processes too
def test_three_models_in_two_processes_meet_once(tiny_dataset: Path, tmp_path: Path) -> None:
    for code, output, errors in start(tiny_dataset, tmp_path, ""):
        assert (code, output) == (0, "done\n"), errors
    assert sorted(path.parent.parent.name for path in tmp_path.glob("*/*/result.json")) == ["toy1", "toy2", "toy3"]


@pytest.mark.parametrize(
    ("what", "codes", "said"),
    [
        ("1:fails", (6, 4), "rank 0 of 2 stops, since rank 1 failed: the second model is broken"),
        pytest.param("1:dies", (6, -9), "rank 0 of 2 has not heard from rank 1 for 10 s", marks=pytest.mark.slow),
        pytest.param("0:dies", (-9, 6), "rank 1 of 2 has lost contact with the other ranks", marks=pytest.mark.slow),
    ],
)
def test_one_that_ends_at_the_second_of_three_models(
    tiny_dataset: Path, tmp_path: Path, what: str, codes: tuple[int, int], said: str
) -> None:
    found = start(tiny_dataset, tmp_path, what)
    assert tuple(code for code, _, _ in found) == codes
    assert said in found[1 - int(what[0])][2]
    # The first model is finished, and of the second the share of the other process.
    assert [path.parent.parent.name for path in tmp_path.glob("*/*/result.json")] == ["toy1"]
    assert not list(tmp_path.glob("toy3*"))

import threading
from collections.abc import Iterator

import pytest

from harness.compute.merging import merged


def test_all_items_arrive_and_those_of_one_stream_in_its_order() -> None:
    streams = [iter([(name, number) for number in range(20)]) for name in "abc"]
    items = list(merged(streams))
    assert len(items) == 60
    assert all([number for own, number in items if own == name] == list(range(20)) for name in "abc")
    assert list(merged([])) == []


def test_the_streams_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20.0)

    def stream() -> Iterator[int]:
        yield meeting.wait()

    assert sorted(merged([stream() for _ in range(3)])) == [0, 1, 2]


def test_an_error_of_one_ends_all() -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    def failing() -> Iterator[int]:
        yield 2
        raise ValueError("by itself")

    with pytest.raises(ValueError, match="by itself"):
        list(merged([endless(), failing(), endless()]))
    assert sorted(closed) == ["stream-0", "stream-2"]


def test_a_caller_that_stops_ends_all() -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    items = merged([endless(), endless()])
    assert next(items) == 1
    items.close()
    assert sorted(closed) == ["stream-0", "stream-1"]

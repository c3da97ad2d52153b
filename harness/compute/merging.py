"""Runs several iterators, each in a thread of its own, and yields their items as they arrive."""

import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 5.0


def merged(streams: Sequence[Iterator[Item]]) -> Generator[Item]:
    """The items of all streams, each as soon as it is there; those of one stream in its order.

    The first error of a stream ends all of them. A thread ends with its stream, or at the next item after the caller
    has stopped; it is a daemon, so one that waits for a library keeps no process alive.

    Args:
        streams: The iterators; only its own thread advances and closes each.

    Raises:
        Exception: Whatever a stream raises.
    """
    # As many places as streams: a thread computes its next item while its last one waits.
    arrived: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(max(1, len(streams)))
    stop = threading.Event()
    threads = [
        threading.Thread(target=_run, args=(stream, arrived, stop), name=f"stream-{number}", daemon=True)
        for number, stream in enumerate(streams)
    ]
    for thread in threads:
        thread.start()
    try:
        n_running = len(threads)
        while n_running:
            item, error, is_item = arrived.get()
            if error is not None:
                raise error
            if is_item:
                yield item  # type: ignore[misc]  # an Item may be None itself
            else:
                n_running -= 1
    finally:
        stop.set()
        end = time.monotonic() + _PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def _run(
    stream: Iterator[Item],
    arrived: "queue.Queue[tuple[Item | None, BaseException | None, bool]]",
    stop: threading.Event,
) -> None:
    error: BaseException | None = None
    try:
        for item in stream:
            if not _put(arrived, (item, None, True), stop):
                break
    # Any error is raised again in the thread of the caller.
    except BaseException as cause:
        error = cause
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    _put(arrived, (None, error, False), stop)


def _put(
    arrived: "queue.Queue[tuple[Item | None, BaseException | None, bool]]",
    entry: tuple[Item | None, BaseException | None, bool],
    stop: threading.Event,
) -> bool:
    """Waits for space in the queue; false if the caller has stopped."""
    while not stop.is_set():
        try:
            arrived.put(entry, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False

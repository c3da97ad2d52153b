"""Runs an iterator in a separate thread, some items ahead of its consumer."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 1.0


class Lookahead(Generic[Item]):
    """The items of an iterator, in order; an error of the iterator is raised at its position.

    The thread ends with the `with` block, whether or not all items were consumed.

    Args:
        items: The iterator; only the other thread advances it.
        depth: Maximum number of waiting items, 1 or more.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
        self._is_over = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookahead", daemon=True)

    def __enter__(self) -> "Lookahead[Item]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A thread that waits for a pipe cannot be stopped; it is a daemon and ends with the process.
        self._thread.join(_PATIENCE_SECONDS)

    def is_ready(self) -> bool:
        """Whether the next item, or the end, is available without waiting."""
        return self._is_over or not self._queue.empty()

    def __iter__(self) -> "Lookahead[Item]":
        return self

    def __next__(self) -> Item:
        if self._is_over:
            raise StopIteration
        item, error, is_item = self._queue.get()
        if is_item:
            return item  # type: ignore[return-value]  # an Item may be None itself
        self._is_over = True
        if error is not None:
            raise error
        raise StopIteration

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put((item, None, True)):
                    return
        # Any error is raised again in the consumer's thread.
        except BaseException as cause:
            error = cause
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put((None, error, False))

    def _put(self, entry: tuple[Item | None, BaseException | None, bool]) -> bool:
        """Waits for space in the queue; false if the consumer has stopped."""
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

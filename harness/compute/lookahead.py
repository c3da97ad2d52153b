"""Runs an iterator in a thread of its own, some items ahead of who uses it."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 1.0


class Lookahead(Generic[Item]):
    """The items of an iterator, in their order; an error of its comes in its place.

    The thread ends with the block, whether or not all items were taken.

    Args:
        items: Advanced in the other thread, and nowhere else.
        depth: How many items may wait, 1 or more.
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
        # One that waits for a pipe cannot be told; it is a daemon and ends with the process.
        self._thread.join(_PATIENCE_SECONDS)

    def is_ready(self) -> bool:
        """Whether the next item, or the end, can be had without waiting."""
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
        # Whatever it is, it is raised again where the items are used.
        except BaseException as cause:
            error = cause
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put((None, error, False))

    def _put(self, entry: tuple[Item | None, BaseException | None, bool]) -> bool:
        """Waits for room; false if nobody wants the entry any more."""
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

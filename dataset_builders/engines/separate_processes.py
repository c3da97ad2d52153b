"""Processes on this machine that fail independently."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class SeparateProcesses(Executor):
    """An executor with a separate one-process pool for each worker.

    In a single `ProcessPoolExecutor`, a process that dies ends all others and fails all calls, without telling which
    call was running. Here only its own call fails, with `BrokenProcessPool`, and a new process replaces it. Without
    their parent, which may have been killed, those of a pool would wait for ever for the next call; these end.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._context = multiprocessing.get_context("spawn")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._pools: set[ProcessPoolExecutor] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Calls a function in one of the processes."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes after their current calls."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._lock:
            pools = list(self._pools)
        for pool in pools:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _call(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        pool = self._pool_of_this_thread()
        try:
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            self._own.pool = None
            with self._lock:
                self._pools.discard(pool)
            pool.shutdown(wait=False)
            raise

    def _pool_of_this_thread(self) -> ProcessPoolExecutor:
        pool: ProcessPoolExecutor | None = getattr(self._own, "pool", None)
        if pool is None:
            pool = ProcessPoolExecutor(max_workers=1, mp_context=self._context, initializer=_end_with_parent)
            self._own.pool = pool
            with self._lock:
                self._pools.add(pool)
        return pool


def _end_with_parent() -> None:
    """Ends this process as soon as its parent has ended, also in the middle of a call that lets other threads run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

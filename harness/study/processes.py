"""Runs commands as separate processes that never outlive the study that started them."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataset_builders.core.errors import SetupError
from dataset_builders.core.sole_user import sole_user as locked

_SECONDS_TO_END = 10.0


@dataclass(slots=True)
class Processes:
    """The running processes.

    Attributes:
        environment: Environment of each.
        inherited: File descriptors that each keeps open, such as that of a lock.
        running: Running processes.
        stopping: Whether new processes are refused.
    """

    environment: Mapping[str, str]
    inherited: tuple[int, ...] = ()
    running: set["subprocess.Popen[str]"] = field(default_factory=set)
    stopping: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, arguments: Sequence[str], log: Path) -> tuple[int, str]:
        """Runs `python -m harness` to completion; safe to call from several threads.

        Args:
            arguments: Arguments after `python -m harness`.
            log: File for its standard error.

        Returns:
            Exit code and standard output.

        Raises:
            SetupError: If the study is being stopped.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as errors:
            process = self._start(arguments, errors.fileno())
            try:
                output, _ = process.communicate()
            finally:
                with self._lock:
                    self.running.discard(process)
        return process.returncode, output

    def stop(self) -> None:
        """Ends all processes and refuses new ones."""
        with self._lock:
            self.stopping = True
            left = list(self.running)
        for process in left:
            process.terminate()
        for process in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
                continue
            process.kill()

    def _start(self, arguments: Sequence[str], errors: int) -> "subprocess.Popen[str]":
        with self._lock:
            if self.stopping:
                raise SetupError("the study is stopping; run the same command again to resume from finished work")
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=dict(self.environment),
                pass_fds=self.inherited,
            )
            self.running.add(process)
        return process


@contextlib.contextmanager
def sole_user(folder: Path) -> Iterator[int]:
    """Locks a folder against other studies, also while a process of a killed earlier study still works in it.

    Args:
        folder: Folder; created if needed.

    Yields:
        A file descriptor; the folder stays locked while any process holds it open.

    Raises:
        SetupError: If the folder is in use, or cannot be written.
    """
    others = "study, or by a training process that a killed study left behind"
    with locked(folder, others, "choose another folder with --work", "lock", keep=True) as lock:
        yield lock


def child_environment(threads: int) -> dict[str, str]:
    """The environment of this process, with the number of threads set for numerical libraries."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}

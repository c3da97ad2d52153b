"""Several processes that share an evaluation, started by `torchrun` or `accelerate launch`: one meeting per command."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dataset_builders.core.errors import MlipOodError, SetupError, UsageError
from dataset_builders.core.hub.explaining import first_line
from harness.inference.board import ARRIVAL_VARIABLE, Board, Limits, Store
from harness.inference.progress import OnStructures, Source
from harness.inference.ranks import NO_OTHERS, Ranks

_ADDRESS: Final = ("MASTER_ADDR", "MASTER_PORT")
_SERVED_BY_LAUNCHER: Final = "TORCHELASTIC_USE_AGENT_STORE"
_PREFIX: Final = "mlip-ood"
_PROBE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """The processes of a command, from its start to its end.

    All of them reach the same points in the same order. In a single process, the methods do nothing.

    Attributes:
        ranks: Rank of this process.
        board: Board for communication; `None` for a single process.
    """

    ranks: Ranks = NO_OTHERS
    board: Board | None = None

    def gather(self, point: str) -> None:
        """Waits until all processes have reached a point, however long that takes, as long as they are alive.

        Args:
            point: Name of the point, the same in all processes.

        Raises:
            SetupError: If one never arrived, failed, died, or is at a different point.
        """
        if self.board is not None:
            self.board.wait_for(self.ranks.others, self.board.pin(point), point)

    def broadcast(self, point: str, value: Callable[[], int]) -> int:
        """A number that the first process determines and all processes use.

        Args:
            point: Name of the point, the same in all processes.
            value: Determines the number; called only in the first process.

        Raises:
            SetupError: As `gather`, of the first process.
        """
        if self.board is None:
            return value()
        if self.ranks.is_first:
            number = value()
            self.board.pin(point, number)
            return number
        place = self.board.pin(point)
        return self.board.wait_for((0,), place, point)[0].said[place]

    def watched(self, on_structures: OnStructures) -> OnStructures:
        """Wraps a progress callback so that it raises once another process has reported a failure.

        Raises:
            SetupError: When the callback is called after that.
        """
        board = self.board
        if board is None:
            return on_structures

        def count(structures: int, source: Source) -> None:
            on_structures(structures, source)
            board.require_running()

        return count


ALONE: Final = Meeting()
"""Meeting of a single process."""


@contextlib.contextmanager
def meeting(ranks: Ranks, limits: Limits | None = None) -> Iterator[Meeting]:
    """Connects the processes of a command; a process that fails inside informs the others.

    Args:
        ranks: Rank of this process.
        limits: How long they wait for each other; if `None`, the defaults or the value of `MLIP_OOD_ARRIVAL_S`.

    Raises:
        UsageError: If an environment variable for connecting the processes is invalid.
        SetupError: If the others cannot be reached.
    """
    if ranks.world_size == 1:
        yield ALONE
        return
    limits, since = limits or _limits(), time.monotonic()
    board = Board(_store(ranks, limits), ranks, limits, since)
    is_done = False
    try:
        yield Meeting(ranks, board)
        is_done = True
    finally:
        board.close(None if is_done else _why(sys.exception()))


def _why(error: BaseException | None) -> str:
    """Description of the error that ended a process, for the others."""
    if isinstance(error, MlipOodError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return "it ended early" if error is None else f"{type(error).__name__}: {first_line(error)}"


def _limits() -> Limits:
    text = os.environ.get(ARRIVAL_VARIABLE)
    if text is None:
        return Limits()
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{ARRIVAL_VARIABLE} is {text!r}; expected a number of seconds, 1 or more, or unset it")
    return Limits(arrival=float(text))


def _store(ranks: Ranks, limits: Limits) -> Store:
    """The store that all processes share: that of the launcher, or one served by the first process.

    It is not used as a process group: two in one command would need two stores, and a process group cannot distinguish
    a process that computes for hours from a dead one.
    """
    absent = [name for name in _ADDRESS if not os.environ.get(name)]
    if absent:
        raise SetupError(
            f"WORLD_SIZE is {ranks.world_size} but {absent[0]} is not set, so the other processes cannot be reached; "
            "start with torchrun or accelerate launch, or unset WORLD_SIZE"
        )
    address, port = (os.environ[name] for name in _ADDRESS)
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UsageError(f"MASTER_PORT is {port!r}; expected a port number from 1 to 65535")
    is_server = ranks.is_first and os.environ.get(_SERVED_BY_LAUNCHER) != str(True)
    if not is_server:
        _require_server(ranks, (address, int(port)), limits)
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    try:
        store = TCPStore(
            address,
            int(port),
            is_master=is_server,
            timeout=timedelta(seconds=limits.arrival),
            wait_for_workers=False,
            multi_tenant=True,
        )
    except (RuntimeError, ValueError) as cause:
        doing = "serve the others" if is_server else "connect to the server"
        raise SetupError(
            f"rank {ranks.rank} of {ranks.world_size} cannot {doing} at {address}:{port} ({first_line(cause)}); "
            "expected MASTER_ADDR to be the machine of rank 0, and MASTER_PORT to be free on it before the start"
        ) from cause
    found: Store = PrefixStore(_PREFIX, store)
    return found


def _require_server(ranks: Ranks, address: tuple[str, int], limits: Limits) -> None:
    """Waits until a server listens at an address; without one the store would print pages of its own errors."""
    end = time.monotonic() + limits.arrival
    while True:
        try:
            with socket.create_connection(address, timeout=_PROBE_SECONDS):
                return
        except OSError as cause:
            if time.monotonic() > end:
                raise SetupError(
                    f"rank {ranks.rank} of {ranks.world_size} waited {limits.arrival:g} s for rank 0, which never "
                    f"started: nothing listens at {address[0]}:{address[1]} ({cause}). Check its output; expected "
                    f"{ranks.world_size} processes with the same MASTER_ADDR, the machine of rank 0, and MASTER_PORT. "
                    f"If starting takes longer, set {ARRIVAL_VARIABLE} to more seconds"
                ) from cause
        time.sleep(limits.beat)

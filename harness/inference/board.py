"""Communication between the processes of one command: each pins notes to a board and reads those of the others.

A thread repeats this regularly, so that a process is known to be alive even if its share takes hours. Nobody waits for
a dead process longer than `Limits` allow. The board is a key-value store of PyTorch, served by `torchrun` or the first
rank.
"""

import json
import logging
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Protocol, Self

from dataset_builders.core.errors import SetupError
from dataset_builders.core.hub.explaining import first_line
from harness.inference.ranks import Ranks

ARRIVAL_VARIABLE: Final = "MLIP_OOD_ARRIVAL_S"
"""Environment variable: seconds that the processes may take to start, if longer than in `Limits`."""

_LOG: Final = logging.getLogger(__name__)

_REMEDY: Final = "finished work is kept: start all processes again with the same command to resume from it"


class Store(Protocol):
    """The part of a `torch.distributed.Store` that the board needs."""

    def set(self, key: str, value: str, /) -> object:
        """Sets the value of a key."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all keys have a value."""

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """The values of keys that all have one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the processes wait for each other, in seconds; a failure is reported in less than a minute.

    Attributes:
        beat: Time between two notes of a process.
        arrival: Time from the arrival of the first process to that of the last.
        silence: Time without a note from a process that has arrived.
        farewell: Time for which a failed process stays, so that the others learn the cause from it.
    """

    beat: float = 0.5
    arrival: float = 40.0
    silence: float = 40.0
    farewell: float = 10.0


@dataclass(frozen=True, slots=True)
class Note:
    """State that one process reports to the others.

    Attributes:
        born: Unique name of the process, to distinguish it from one restarted in its place.
        beat: Number of notes of the process so far.
        points: Synchronisation points of the command that it has reached, in order; the same for all processes.
        said: Values that it reported at some of these points, by their index.
        failure: Why it stopped, or why the process in `root` did; `None` unless it stopped.
        root: Rank whose failure made it stop; `None` for its own failure.
        has_left: Whether it has finished the command.
        has_heard: Whether it knows that some process failed.
    """

    born: str = field(default_factory=lambda: uuid.uuid4().hex)
    beat: int = 0
    points: tuple[str, ...] = ()
    said: dict[int, int] = field(default_factory=dict)
    failure: str | None = None
    root: int | None = None
    has_left: bool = False
    has_heard: bool = False

    @property
    def is_last(self) -> bool:
        """Whether no further note will follow."""
        return self.has_left or self.failure is not None

    def text(self) -> str:
        """Encodes the note for the store."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Decodes a note from the store.

        Raises:
            ValueError: If this version did not write it.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            said = {int(place): value for place, value in document.pop("said").items()}
            return cls(**document | {"said": said, "points": tuple(document["points"])})
        except (AttributeError, KeyError, TypeError) as cause:
            raise ValueError("another process runs another version of mlip-ood") from cause


@dataclass(slots=True)
class _Peer:
    """Another process as seen by this one.

    Attributes:
        note: Its latest note; `None` before the first.
        has_come: Whether its note has changed since this process started: notes from an earlier attempt do not.
        unheard: Seconds without a new note, as observed by this process.
        replaced: Whether another process was started in its place.
    """

    note: Note | None = None
    has_come: bool = False
    unheard: float = 0.0
    replaced: bool = False

    def read(self, note: Note, elapsed: float) -> None:
        """Processes the current note, `elapsed` seconds after the previous reading."""
        before = self.note
        if note == before:
            self.unheard += elapsed
            return
        self.replaced = self.replaced or (self.has_come and before is not None and note.born != before.born)
        self.has_come = self.has_come or before is not None
        self.note, self.unheard = note, 0.0

    @property
    def is_done(self) -> bool:
        """Whether it no longer needs this process."""
        return self.note is not None and (self.note.is_last or self.note.has_heard)


class Board:
    """The board as seen by one process; a separate thread pins and reads notes until it is closed.

    Args:
        store: Store of the notes; only the thread uses it, since a server that hangs blocks its callers.
        ranks: Rank of this process.
        limits: How long it waits for others.
        since: Start of the wait for the others, by `time.monotonic`.
    """

    def __init__(self, store: Store, ranks: Ranks, limits: Limits, since: float) -> None:
        self._store, self._ranks, self._limits = store, ranks, limits
        self._own = self._pinned = Note()
        self._peers = {rank: _Peer() for rank in ranks.others}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._is_closed = False
        self._lost: str | None = None
        self._first_failed: int | None = None
        self._since = since
        self._last_look = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def pin(self, point: str, said: int | None = None) -> int:
        """Reports to the others that this process has reached a point, with an optional value.

        Returns:
            Index of the point among those of this process.
        """
        with self._changed:
            place = len(self._own.points)
            numbers = self._own.said if said is None else {**self._own.said, place: said}
            self._own = replace(self._own, points=(*self._own.points, point), said=numbers)
        self._wake.set()
        return place

    def wait_for(self, ranks: tuple[int, ...], place: int, point: str) -> dict[int, Note]:
        """Waits until some processes have reached a point, however long they take, as long as they are alive.

        Args:
            ranks: Processes to wait for.
            place: Index of the point, the same in all processes.
            point: Name of the point.

        Returns:
            Their notes.

        Raises:
            SetupError: If one never arrived, failed, stopped responding, left, or is at a different point.
        """
        since, is_reported = time.monotonic(), False
        with self._changed:
            while True:
                come = {rank: self._peers[rank] for rank in ranks if self._peers[rank].has_come}
                notes = {rank: peer.note for rank, peer in come.items() if peer.note is not None}
                for rank, note in notes.items():
                    self._require_same_point(rank, note, place, point)
                if all(rank in notes and len(notes[rank].points) > place for rank in ranks):
                    return notes
                self._require_well(ranks, since)
                if not is_reported and time.monotonic() - since > self._limits.silence:
                    at_work = [rank for rank in ranks if rank not in notes or len(notes[rank].points) <= place]
                    _LOG.warning("rank %d waits for %s, still running", self._ranks.rank, _named(at_work))
                    is_reported = True
                self._changed.wait(self._limits.beat)

    def require_running(self) -> None:
        """Checks that no other process has reported a failure, and that the board is still reachable.

        Raises:
            SetupError: If a process failed or the board is lost.
        """
        with self._changed:
            self._require_no_failure()
            self._require_board(time.monotonic())

    def close(self, failure: str | None) -> None:
        """Leaves; stays briefly if others still have to learn of a failure, or read what this process serves.

        Args:
            failure: Why this process stops early; `None` if it does not.
        """
        with self._changed:
            root = None if failure is None else self._first_failure()
            stopped = {"failure": failure} if root is None else {"root": root[0], "failure": root[1]}
            self._own = replace(self._own, **stopped, has_left=failure is None)
        self._wake.set()
        # If the first process serves the store, it must leave last.
        needs_all = failure is not None or self._ranks.is_first
        end = time.monotonic() + (self._limits.silence if failure is None else self._limits.farewell)
        try:
            self._wait_for_others(end, for_others=needs_all)
        finally:
            self._is_closed = True
            self._wake.set()
        self._thread.join(self._limits.beat)

    def _wait_for_others(self, end: float, *, for_others: bool) -> None:
        with self._changed:
            while (now := time.monotonic()) < end and self._lost is None:
                waiting = for_others and any(self._still_needs_this_rank(peer, now) for peer in self._peers.values())
                if self._pinned.is_last and not waiting:
                    return
                self._changed.wait(self._limits.beat)

    def _still_needs_this_rank(self, peer: _Peer, now: float) -> bool:
        if not peer.has_come:
            return now - self._since < self._limits.arrival
        return not (peer.is_done or peer.replaced or peer.unheard > self._limits.silence)

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._exchange()
            except (RuntimeError, ValueError) as cause:  # the store's own errors are RuntimeErrors
                with self._changed:
                    self._lost = first_line(cause)
                    self._changed.notify_all()
                return
            self._wake.wait(self._limits.beat)
            self._wake.clear()

    def _exchange(self) -> None:
        with self._changed:
            self._own = replace(self._own, beat=self._own.beat + 1, has_heard=self._first_failed is not None)
            own = self._own
        self._store.set(_key(self._ranks.rank), own.text())
        keys = {rank: _key(rank) for rank in self._peers}
        if not self._store.check([*keys.values()]):
            keys = {rank: key for rank, key in keys.items() if self._store.check([key])}
        notes = [Note.of(text) for text in self._store.multi_get([*keys.values()])] if keys else []
        now = time.monotonic()
        with self._changed:
            self._pinned = own
            # A pause of this process, such as a suspended machine, does not mean that the others are silent.
            elapsed = min(now - self._last_look, self._limits.silence / 4.0)
            for rank, note in zip(keys, notes, strict=True):
                self._peers[rank].read(note, elapsed)
                if self._first_failed is None and self._has_failed(rank):
                    self._first_failed = rank
            self._last_look = now
            self._changed.notify_all()

    def _has_failed(self, rank: int) -> bool:
        peer = self._peers[rank]
        return peer.has_come and peer.note is not None and peer.note.failure is not None

    def _require_well(self, ranks: tuple[int, ...], since: float) -> None:
        limits, now = self._limits, time.monotonic()
        self._require_no_failure()
        self._require_board(since)
        absent = [rank for rank in ranks if not self._peers[rank].has_come]
        if absent and now - self._since > limits.arrival:
            raise self._problem(
                f"waited {limits.arrival:g} s for {_named(absent)}, which never started. Check its output; expected "
                f"{self._ranks.world_size} processes with the same MASTER_ADDR and MASTER_PORT. If starting takes "
                f"longer, set {ARRIVAL_VARIABLE} to more seconds"
            )
        silent = [rank for rank in ranks if self._peers[rank].has_come and self._peers[rank].unheard > limits.silence]
        if silent:
            raise self._problem(
                f"has not heard from {_named(silent)} for {limits.silence:g} s: ended or hanging. Check the "
                "last output there"
            )
        for rank in ranks:
            peer = self._peers[rank]
            if peer.replaced:
                raise self._problem(f"found {_named([rank])} started a second time")
            if peer.note is not None and peer.has_come and peer.note.has_left:
                raise self._problem(f"waits for {_named([rank])}, which had less work and has ended")

    def _require_board(self, since: float) -> None:
        silence = self._limits.silence
        if self._lost is not None or time.monotonic() - max(self._last_look, since) > silence:
            why = self._lost or f"no answer for {silence:g} s"
            raise self._problem(
                f"has lost contact with the other ranks ({why}): their server, rank 0 or torchrun, has ended or cannot "
                "be reached. Check its output"
            )

    def _require_no_failure(self) -> None:
        root = self._first_failure()
        if root is not None:
            raise self._problem(f"stops, since {_named([root[0]])} failed: {root[1]}")

    def _first_failure(self) -> tuple[int, str] | None:
        """The rank of the process that failed first, and the cause."""
        failed = self._first_failed
        note = None if failed is None else self._peers[failed].note
        if failed is None or note is None or note.failure is None:
            return None
        return failed if note.root is None else note.root, note.failure

    def _require_same_point(self, rank: int, note: Note, place: int, point: str) -> None:
        if len(note.points) > place and note.points[place] != point:
            raise self._problem(
                f"is at '{point}', but rank {rank} at '{note.points[place]}'; expected all processes to have the same "
                "command, data, versions and kind of device"
            )

    def _problem(self, what: str) -> SetupError:
        return SetupError(f"rank {self._ranks.rank} of {self._ranks.world_size} {what}; {_REMEDY}")


def _key(rank: int) -> str:
    return f"note{rank}"


def _named(ranks: list[int]) -> str:
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))}"

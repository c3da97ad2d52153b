"""What goes wrong with the Hub, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from tests.faults.phases import DATASET
from tests.loopback_hub import LoopbackHub
from tests.loopback_hub.faults import Fault

Action = Literal["download", "stream", "model", "publish", "push"]
End = Literal["same", "refused"]

_ALWAYS: Final = 999
_HOURS: Final = 36_000.0
_PAGE: Final = "<!DOCTYPE html><html><body>Please accept the conditions of this network.</body></html>"
_DATA: Final = r"/resolve/.*\.parquet"
_WEIGHTS: Final = r"/resolve/.*\.safetensors"


@dataclass(frozen=True, slots=True)
class Case:
    """Something that goes wrong with the Hub while a command runs.

    Attributes:
        action: What the command does.
        name: What goes wrong.
        faults: The same in the terms of the loopback Hub, which they get.
        end: Whether the command ends as if nothing had happened, or is refused; without the fault it then ends.
    """

    action: Action
    name: str
    faults: Callable[[LoopbackHub], tuple[Fault, ...]]
    end: End

    @property
    def title(self) -> str:
        """Name in the table."""
        return f"{self.action}: {self.name}"


def cases() -> tuple[Case, ...]:
    """All cases."""
    return (*_reading("download"), *_reading("stream"), *_whole_files(), *_writing("publish"), *_writing("push"))


def _reading(action: Action) -> tuple[Case, ...]:
    return (
        _case(action, "slow", "same", Fault(delay=0.5, times=8)),
        _case(action, "500 and 503 at first", "same", Fault(path="/api/", status=500, times=2), _once(status=503)),
        _case(action, "500 always", "refused", Fault(path="/resolve/", status=500, times=_ALWAYS)),
        _case(action, "429", "same", Fault(path="/api/", status=429, retry_after=1)),
        _case(action, "connection cut", "same", _once(cut=True), Fault(path="/api/", cut=True)),
        _case(action, "connection always cut", "refused", Fault(path=_DATA, cut=True, times=_ALWAYS)),
        _case(action, "file cut short", "same", Fault(method="GET", path=_DATA, truncate=500, times=2)),
        _case(action, "file always cut short", "refused", _data(truncate=500)),
        _case(action, "wrong byte of data", "refused", _data(flip=3000)),
        _case(action, "page in place of JSON", "refused", Fault(path="/api/", body=_PAGE, times=_ALWAYS)),
        _case(action, "page in place of data", "refused", _data(body=_PAGE)),
        _case(action, "answer never comes", "refused", Fault(path="/api/", delay=_HOURS, times=_ALWAYS)),
        _case(action, "data stop half-way", "refused", _data(stall=500)),
        _case(action, "data stop half-way once", "same", _once(stall=500)),
        Case(action, "branch moves meanwhile", _moving, "same"),
    )


def _whole_files() -> tuple[Case, ...]:
    return (
        _case("model", "slow", "same", Fault(delay=0.5, times=8)),
        _case("model", "weights cut short", "same", Fault(method="GET", path=_WEIGHTS, truncate=300, times=2)),
        _case("model", "weights stop half-way", "refused", Fault(path=_WEIGHTS, stall=300, times=_ALWAYS)),
        _case("model", "wrong byte of weights", "refused", Fault(path=_WEIGHTS, flip=700, times=_ALWAYS)),
        _case("model", "page in place of weights", "refused", Fault(path=_WEIGHTS, body=_PAGE, times=_ALWAYS)),
        _case("model", "page in place of config", "refused", Fault(path="/resolve/.*config", body=_PAGE, times=99)),
    )


def _writing(action: Action) -> tuple[Case, ...]:
    commit = "/commit/"
    return (
        _case(action, "slow", "same", Fault(delay=0.5, times=8)),
        _case(action, "500 at first", "same", Fault(method="POST", path=commit, status=500)),
        _case(action, "500 always", "refused", Fault(method="POST", path=commit, status=500, times=_ALWAYS)),
        _case(action, "made, answer lost", "same", Fault(method="POST", path=commit, truncate=0)),
        _case(action, "made, answer never comes", "same", Fault(method="POST", path=commit, stall=0)),
        _case(action, "answer never comes", "refused", Fault(path="/api/", delay=_HOURS, times=_ALWAYS)),
        _case(action, "commit never taken", "refused", Fault(path=commit, delay=_HOURS, times=_ALWAYS)),
        _case(action, "page in place of JSON", "refused", Fault(path="/api/", body=_PAGE, times=_ALWAYS)),
        _case(action, "page in place of commit", "refused", Fault(path=commit, body=_PAGE, times=_ALWAYS)),
    )


def _case(action: Action, name: str, end: End, *faults: Fault) -> Case:
    return Case(action, name, lambda hub: faults, end)


def _once(**how: object) -> Fault:
    return Fault(method="GET", path=_DATA, **how)  # type: ignore[arg-type]


def _data(**how: object) -> Fault:
    return Fault(method="GET", path=_DATA, times=_ALWAYS, **how)  # type: ignore[arg-type]


def _moving(hub: LoopbackHub) -> tuple[Fault, ...]:
    """Somebody replaces all data by others just before the first of them is read."""

    def move() -> None:
        others = {name: b"PAR1 of somebody else" for name in hub.files(DATASET, "dataset") if name.endswith("parquet")}
        hub.commit(DATASET, "dataset", others)

    return (Fault(path=_DATA, before=move),)

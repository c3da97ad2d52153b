"""What other people's code finds and leaves in this process: each model has its own, and none changes that of others.

A package that is imported, or a model that computes, may set PyTorch's default precision, NumPy's treatment of errors,
the working directory or a filter of warnings. What it set is taken back when its code returns, and put in place again
when its code is called the next time, so that it finds what it made.

Some of these belong to the process and some to a thread. Those of the process are taken back when the last of several
threads leaves the model's code.
"""

import contextlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from harness.compute.arithmetic import full_precision

_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGFPE")
    if hasattr(signal, name)
)
_SMALL: Final = (2.0**-1000, 2.0**-60)
"""Two numbers whose product is below the normal numbers of double precision."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Setting:
    """Something that code may change.

    Attributes:
        read: Gives its value, which can be compared.
        write: Sets it to such a value.
        kept: What is kept for the model of a value, given the one before and the one that the model left.
        put: Puts what was kept in place; `None` for what a model does not find again.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]
    kept: Callable[[Any, Any], Any] = lambda before, left: left
    put: Callable[[Any], None] | None = None


def _restored(read: Callable[[], Any], write: Callable[[Any], None]) -> _Setting:
    """A setting that a model finds again as it left it."""
    return _Setting(read, write, put=write)


@dataclass(slots=True)
class Surroundings:
    """What a model has set and finds set whenever its code runs; nothing at first.

    Attributes:
        name: Of the model, for what the log says.
        process: What is kept by number of the setting, of those of the process.
        thread: Likewise, of those of a thread.
        told: Settings of precision that the log has named.
    """

    name: str
    process: dict[int, Any] = field(default_factory=dict)
    thread: dict[int, Any] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Visits:
    """How many threads are in a model's code, and what the settings were before the first came.

    Attributes:
        count: Of threads.
        before: Values of the settings of the process.
    """

    count: int = 0
    before: list[Any] = field(default_factory=list)


_visits: Final = _Visits()
_lock: Final = threading.RLock()


@contextlib.contextmanager
def inside(surroundings: Surroundings) -> Iterator[None]:
    """Runs a block, which calls a model's code, in the surroundings of that model.

    What the code changes is kept for the model and taken back for everybody else, and products of float32 numbers are
    computed in full precision afterwards whatever the code said. Blocks may be nested and run in several threads.
    """
    with _lock:
        if _visits.count == 0:
            _visits.before = _entered(_OF_THE_PROCESS, surroundings.process)
        _visits.count += 1
    before = _entered(_OF_A_THREAD, surroundings.thread)
    try:
        yield
    finally:
        _left(_OF_A_THREAD, before, surroundings.thread)
        with _lock:
            _visits.count -= 1
            if _visits.count == 0:
                _left(_OF_THE_PROCESS, _visits.before, surroundings.process)
        for name, value in full_precision().items():
            if name not in surroundings.told:
                surroundings.told.add(name)
                _LOG.warning("%s set %s to %s; it is set back to full precision", surroundings.name, name, value)


def _entered(settings: Sequence[_Setting], own: dict[int, Any]) -> list[Any]:
    """Puts in place what the model left; gives the values before."""
    before = [setting.read() for setting in settings]
    for number, value in own.items():
        put = settings[number].put
        if put is not None:
            put(value)
    return before


def _left(settings: Sequence[_Setting], before: Sequence[Any], own: dict[int, Any]) -> None:
    """Takes back what the model changed, and keeps it."""
    for number, (setting, value) in enumerate(zip(settings, before, strict=True)):
        now = setting.read()
        if now == value:
            own.pop(number, None)
        else:
            own[number] = setting.kept(value, now)
            setting.write(value)


def _torch() -> Any:
    """PyTorch, or `None` where nothing has imported it yet."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_autocast_enabled") else None


def _of_torch(read: Callable[[Any], Any], write: Callable[[Any, Any], None], default: Any) -> _Setting:
    """A setting of PyTorch, which is as PyTorch ships it where nothing has imported it yet."""

    def read_if_there() -> Any:
        torch = _torch()
        return default if torch is None else read(torch)

    def write_if_there(value: Any) -> None:
        torch = _torch()
        if torch is not None:
            write(torch, value)

    return _restored(read_if_there, write_if_there)


def _default_dtype(torch: Any) -> str:
    return str(torch.get_default_dtype()).removeprefix("torch.")


def _set_default_device(torch: Any, device: str) -> None:
    # A default that is set explicitly, were it to the CPU, would slow every call down.
    torch.set_default_device(None if device == "cpu" else device)


def _set_threads(torch: Any, threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _random_state_of_torch(torch: Any) -> bytes | None:
    return bytes(torch.get_rng_state().numpy())


def _set_random_state_of_torch(torch: Any, state: bytes | None) -> None:
    if state is not None:
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 (as quick as it can be, for every batch)
    except OSError:
        return None


def _go_to(directory: str | None) -> None:
    # Where the folder is gone there is no going back, and what is opened by a relative name says so.
    with contextlib.suppress(OSError):
        os.chdir(directory or "/")


def _set_environment(values: dict[str, str]) -> None:
    _change_environment(_changed_variables(dict(os.environ), values))


def _changed_variables(before: dict[str, str], left: dict[str, str]) -> dict[str, str | None]:
    """Only what was changed, so that a token which is there at another time is never put back."""
    return {name: left.get(name) for name in before.keys() | left.keys() if before.get(name) != left.get(name)}


def _change_environment(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _set_locale(name: str) -> None:
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, name)


def _set_filters(filters: tuple[Any, ...]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its stub says
    # Which warnings were shown is remembered beside the filters, until somebody says that they have changed.
    with warnings.catch_warnings():
        pass


def _handlers() -> tuple[Any, ...]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return tuple(signal.getsignal(number) for number in _SIGNALS) if in_main_thread else ()


def _set_handlers(handlers: tuple[Any, ...]) -> None:
    # Only the main thread may, and a handler that no Python code has set cannot be set again.
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(_SIGNALS, handlers, strict=False):
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


def _log() -> tuple[Any, ...]:
    return tuple(logging.root.handlers), logging.root.level, logging.root.manager.disable


def _set_log(state: tuple[Any, ...]) -> None:
    handlers, level, disabled = state
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.disable(disabled)


def _random_state_of_numpy() -> tuple[Any, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002 (others use it)
    name, key, *rest = state
    return name, key.tobytes(), *rest


def _set_random_state_of_numpy(state: tuple[Any, ...]) -> None:
    name, key, *rest = state
    np.random.set_state((name, np.frombuffer(key, dtype=np.uint32), *rest))  # noqa: NPY002


def _tiny_numbers_are_zero() -> bool:
    # As libraries that were compiled for speed over accuracy set it for a whole thread when they are loaded.
    return _SMALL[0] * _SMALL[1] == 0.0


def _set_numpy_errors(state: dict[str, Any]) -> None:
    np.seterr(**state)


def _flags_of_cudnn(torch: Any) -> tuple[bool, bool]:
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


def _set_flags_of_cudnn(torch: Any, flags: tuple[bool, bool]) -> None:
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags


def _determinism(torch: Any) -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(torch: Any, flags: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])


_OF_THE_PROCESS: Final = (
    _Setting(lambda: dict(os.environ), _set_environment, _changed_variables, _change_environment),
    _restored(_working_directory, _go_to),
    _restored(lambda: locale.setlocale(locale.LC_ALL), _set_locale),
    _restored(lambda: tuple(warnings.filters), _set_filters),
    _restored(_log, _set_log),
    _restored(random.getstate, random.setstate),
    _restored(_random_state_of_numpy, _set_random_state_of_numpy),
    _of_torch(_default_dtype, lambda torch, name: torch.set_default_dtype(getattr(torch, name)), "float32"),
    _of_torch(_determinism, _set_determinism, (False, False)),
    _of_torch(_flags_of_cudnn, _set_flags_of_cudnn, (False, False)),
    _of_torch(lambda torch: torch.get_num_threads(), _set_threads, None),
    _of_torch(_random_state_of_torch, _set_random_state_of_torch, None),
)

_OF_A_THREAD: Final = (
    _restored(np.geterr, _set_numpy_errors),
    # A model that runs is interrupted as the harness is, so handlers of its own are not put in place again.
    _Setting(_handlers, _set_handlers),
    _of_torch(lambda torch: torch.is_grad_enabled(), lambda torch, on: torch._C._set_grad_enabled(on), True),
    _of_torch(lambda torch: str(torch.get_default_device()), _set_default_device, "cpu"),
    _of_torch(lambda torch: _tiny_numbers_are_zero(), lambda torch, zero: torch.set_flush_denormal(zero), False),
)

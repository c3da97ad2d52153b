"""Isolates the process settings of each model, so that no model changes those of the harness or of another model.

A package that is imported, or a model that computes, may set PyTorch's default precision, NumPy's error handling,
the working directory or a warning filter. Such changes are reverted when the model's code returns, and applied again
at its next call, so that it finds them as it left them.

Some settings belong to the process and some to a thread. Those of the process are reverted when the last of several
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
"""Two numbers whose product is subnormal in double precision."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting of the process or thread that code may change.

    Attributes:
        read: Returns its value, which can be compared.
        write: Sets it to such a value.
        kept: What to keep for the model, from the value before and the value that the model left.
        put: Applies what was kept; `None` for a setting that is not applied again.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]
    kept: Callable[[Any, Any], Any] = lambda before, left: left
    put: Callable[[Any], None] | None = None


def _restored(read: Callable[[], Any], write: Callable[[Any], None]) -> _Setting:
    """A setting that is applied again as the model left it."""
    return _Setting(read, write, put=write)


@dataclass(slots=True)
class Surroundings:
    """Settings that a model has changed and finds again whenever its code runs; empty at first.

    Attributes:
        name: Name of the model, for the log.
        process: Kept settings of the process, by index of the setting.
        thread: Likewise, settings of a thread.
        reported: Precision settings that the log has reported.
    """

    name: str
    process: dict[int, Any] = field(default_factory=dict)
    thread: dict[int, Any] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Visits:
    """Number of threads in a model's code, and the settings before the first of them entered.

    Attributes:
        count: Number of threads.
        before: Values of the process settings.
    """

    count: int = 0
    before: list[Any] = field(default_factory=list)


_visits: Final = _Visits()
_lock: Final = threading.RLock()


@contextlib.contextmanager
def inside(surroundings: Surroundings) -> Iterator[None]:
    """Runs a block that calls a model's code with the settings of that model.

    Changes are kept for the model and reverted for all other code. Afterwards products of float32 numbers are computed
    in full precision, whatever the model set. Blocks may be nested and run in several threads.
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
            if name not in surroundings.reported:
                surroundings.reported.add(name)
                _LOG.warning("%s set %s to %s; it is reset to full precision", surroundings.name, name, value)


def _entered(settings: Sequence[_Setting], own: dict[int, Any]) -> list[Any]:
    """Applies the settings that the model left; returns the previous values."""
    before = [setting.read() for setting in settings]
    for number, value in own.items():
        put = settings[number].put
        if put is not None:
            put(value)
    return before


def _left(settings: Sequence[_Setting], before: Sequence[Any], own: dict[int, Any]) -> None:
    """Reverts what the model changed, and keeps it."""
    for number, (setting, value) in enumerate(zip(settings, before, strict=True)):
        now = setting.read()
        if now == value:
            own.pop(number, None)
        else:
            own[number] = setting.kept(value, now)
            setting.write(value)


def _torch() -> Any:
    """PyTorch, or `None` if nothing has imported it yet."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_autocast_enabled") else None


def _of_torch(read: Callable[[Any], Any], write: Callable[[Any, Any], None], default: Any) -> _Setting:
    """A setting of PyTorch; it has PyTorch's default as long as nothing has imported PyTorch."""

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
    # A default that is set explicitly, even to the CPU, would slow down every call.
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
        return os.getcwd()  # noqa: PTH109 (must be fast: it runs for every batch)
    except OSError:
        return None


def _go_to(directory: str | None) -> None:
    # If the folder is gone, opening a file by a relative path reports it.
    with contextlib.suppress(OSError):
        os.chdir(directory or "/")


def _set_environment(values: dict[str, str]) -> None:
    _change_environment(_changed_variables(dict(os.environ), values))


def _changed_variables(before: dict[str, str], left: dict[str, str]) -> dict[str, str | None]:
    """Only the changed variables, so that a token which is present at another time is never restored."""
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
    # Python caches which warnings were shown until the filters are marked as changed; this block marks them.
    with warnings.catch_warnings():
        pass


def _handlers() -> tuple[Any, ...]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return tuple(signal.getsignal(number) for number in _SIGNALS) if in_main_thread else ()


def _set_handlers(handlers: tuple[Any, ...]) -> None:
    # Only the main thread may set handlers, and one that no Python code has set cannot be set again.
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
    # Libraries compiled with fast-math set this for a whole thread when they are loaded.
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
    # A running model is interrupted as the harness is, so its own handlers are not applied again.
    _Setting(_handlers, _set_handlers),
    _of_torch(lambda torch: torch.is_grad_enabled(), lambda torch, on: torch._C._set_grad_enabled(on), True),
    _of_torch(lambda torch: str(torch.get_default_device()), _set_default_device, "cpu"),
    _of_torch(lambda torch: _tiny_numbers_are_zero(), lambda torch, zero: torch.set_flush_denormal(zero), False),
)

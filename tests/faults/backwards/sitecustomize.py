"""Lets the wall clock of a process jump back every now and then; Python runs it at its start if it is on the path.

The monotonic clock goes on, as it does on a machine whose clock is set. Jumps are written to a file, so that whoever
asks can see that there were any.
"""

import ctypes
import datetime
import gc
import os
import random
import time
from pathlib import Path

_EVERY = 0.2
"""Seconds between two jumps."""
_LONGEST = 120.0
"""Seconds of the longest jump."""

_now, _monotonic = time.time, time.monotonic


class _Clock:
    """A clock that jumps back; threads may read it at the same time, and then one jump may count twice."""

    def __init__(self) -> None:
        self._jumps = random.Random(os.environ["MLIP_OOD_TEST_CLOCK"])
        self._behind = 0.0
        self._next = _monotonic() + _EVERY

    def time(self) -> float:
        n_jumps = 0
        while _monotonic() > self._next:
            self._behind += self._jumps.uniform(0.0, _LONGEST)
            self._next += _EVERY
            n_jumps += 1
        if n_jumps:
            with Path(os.environ["MLIP_OOD_TEST_JUMPS"]).open("a", encoding="utf-8") as stream:
                stream.write("jump\n" * n_jumps)
        return _now() - self._behind


_CLOCK = _Clock()


def _datetime(cls, tz=None):
    return cls.fromtimestamp(_CLOCK.time(), tz)


time.time = _CLOCK.time
time.time_ns = lambda: int(_CLOCK.time() * 1e9)
# A class of C has no attributes that can be set; a subclass would not be the class that other libraries know.
_attributes = gc.get_referents(datetime.datetime.__dict__)[0]
_attributes["now"] = classmethod(_datetime)
_attributes["utcnow"] = classmethod(lambda cls: _datetime(cls, datetime.UTC).replace(tzinfo=None))
ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))

"""A reader that does everything wrong, so that the fuzzer is seen to notice."""

import ctypes
import time
from pathlib import Path

from dataset_builders.core.errors import DataError
from tests.fuzz.target import Reading, Target


def _prepare(folder: Path) -> Reading:
    def read() -> object:
        kind = sum((folder / "planted").read_bytes()) % 32
        if kind == 3:
            time.sleep(60)
        if kind == 4:
            ctypes.string_at(0)
        if kind % 8 == 2:
            return len(bytes(2**33))
        if kind % 8 == 1:
            return {}[kind]
        if kind % 8 == 7:
            raise DataError("refused")
        return "fine"

    return Reading(read, [b"0123456789"])


PLANTED = Target("planted", "bytes", "planted", _prepare, seconds=1.0)

"""A reader that does everything wrong, so that the fuzzer is seen to notice."""

import ctypes
import time
from pathlib import Path

from dataset_builders.core.errors import DataError
from tests.fuzz.target import Reading, Target


def _prepare(folder: Path) -> Reading:
    def read() -> object:
        content = (folder / "planted").read_bytes()
        known = {48: "a", 49: "b", 50: "c", 51: "d", 52: "e", 53: "f"}
        first = content[0] if content else 48
        if first == 0x30:
            return "fine"
        if first > 0x80:
            ctypes.string_at(0)
        if first < 0x10:
            time.sleep(60)
        if first == 0x70:
            return len(bytes(2**33))
        if first in (0x31, 0x32, 0x38):
            raise DataError("refused")
        return known[first]

    return Reading(read, [b"0"])


PLANTED = Target("planted", "bytes", "planted", _prepare, seconds=1.0)

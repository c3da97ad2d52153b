"""Spoils safetensors files: the JSON of the header, the stated length of it, and the numbers behind it."""

import random
import struct
from collections.abc import Callable


def spoiled_tensors(content: bytes, rng: random.Random, json_mutated: Callable[[bytes, random.Random], bytes]) -> bytes:
    """One spoiled file."""
    (length,) = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + length], bytearray(content[8 + length :])
    if rng.random() < 0.7:
        header = json_mutated(header, rng)
    if rng.random() < 0.3 and body:
        place = rng.randrange(len(body))
        body[place : place + 8] = rng.choice(
            (b"\xff" * 8, b"\x00" * 8, struct.pack("<d", float("nan")), b"\x7f\x80" * 4)
        )
    stated = len(header)
    if rng.random() < 0.1:
        stated = rng.choice((0, 1, stated - 1, stated + 1, 2**31, 2**63, 2**64 - 1, len(content)))
    return struct.pack("<Q", stated % 2**64) + header + bytes(body)

"""Shards of work for batch schedulers: every unit is in exactly one, on every machine and at any progress."""

import heapq
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dataset_builders.core.errors import UsageError
from dataset_builders.core.shown import quoted

Piece = TypeVar("Piece", bound=Hashable)

MAX_SHARDS: Final = 1_000_000
"""Most shards; far more than there are units to share."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shards.

    Attributes:
        number: From 1.
        count: Number of shards.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Reads a shard such as `2/8`.

    Raises:
        UsageError: If the text is not a shard, or there are more than `MAX_SHARDS`.
    """
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        # Python does not read numbers of thousands of digits.
        number, count = (int(part.lstrip("0")[: len(str(MAX_SHARDS)) + 1] or "0") for part in parts)
        if count > MAX_SHARDS:
            raise UsageError(f"--shard {quoted(text)}: expected at most {MAX_SHARDS:,} shards; choose fewer")
        if 1 <= number <= count:
            return Shard(number, count)
    raise UsageError(f"--shard {text!r}; expected NUMBER/COUNT, from 1/8 to 8/8 for eight shards")


def share_of(
    pieces: Sequence[Piece], shard: Shard, *, cost: Callable[[Piece], float], rank: Callable[[Piece], Any]
) -> list[Piece]:
    """The work units of one shard; shards differ in cost by less than the most expensive unit.

    Args:
        pieces: All units, finished or not.
        shard: The shard.
        cost: Cost of a unit, on any scale.
        rank: Tie-breaker for units of equal cost, the same on every machine.

    Returns:
        Units in the order of `pieces`.
    """
    # Of shards with equal loads the first takes a piece, so those beyond the number of pieces stay empty.
    n_used = min(shard.count, len(pieces))
    shares: list[tuple[float, int]] = [(0, number) for number in range(1, n_used + 1)]
    chosen = set()
    for piece in sorted(pieces, key=lambda piece: (-cost(piece), rank(piece))):
        load, number = shares[0]
        if number == shard.number:
            chosen.add(piece)
        heapq.heapreplace(shares, (load + cost(piece), number))
    return [piece for piece in pieces if piece in chosen]

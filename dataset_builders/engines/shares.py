"""Shares of work for batch schedulers: every piece is in exactly one, whoever computes them and whatever is done."""

import heapq
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dataset_builders.core.errors import UsageError

Piece = TypeVar("Piece", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares.

    Attributes:
        number: From 1.
        count: Number of shares.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Reads a share such as `2/8`.

    Raises:
        UsageError: If it is none.
    """
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        number, count = (int(part) for part in parts)
        if 1 <= number <= count:
            return Shard(number, count)
    raise UsageError(f"--shard {text!r}; expected NUMBER/COUNT, from 1/8 to 8/8 for eight shares")


def share_of(
    pieces: Sequence[Piece], shard: Shard, *, cost: Callable[[Piece], float], rank: Callable[[Piece], Any]
) -> list[Piece]:
    """The pieces of one share; shares differ in cost by less than the dearest piece.

    Args:
        pieces: Every piece of work, whether it is done or not.
        shard: Which share.
        cost: Cost of a piece, on any scale.
        rank: What decides between pieces of the same cost, the same on every machine.

    Returns:
        Pieces in the order of `pieces`.
    """
    shares: list[tuple[float, int]] = [(0, number) for number in range(1, shard.count + 1)]
    chosen = set()
    for piece in sorted(pieces, key=lambda piece: (-cost(piece), rank(piece))):
        load, number = shares[0]
        if number == shard.number:
            chosen.add(piece)
        heapq.heapreplace(shares, (load + cost(piece), number))
    return [piece for piece in pieces if piece in chosen]

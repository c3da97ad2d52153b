"""The rank of this process, from the environment variables of `torchrun` and `accelerate launch`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rank of this process among several.

    Attributes:
        rank: Its number, counted from 0 over all machines.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process merges and reports the results."""
        return self.rank == 0

    @property
    def others(self) -> tuple[int, ...]:
        """The ranks of the other processes."""
        return tuple(rank for rank in range(self.world_size) if rank != self.rank)


def current_ranks(environment: Mapping[str, str] | None = None) -> Ranks:
    """The rank of this process, from `RANK` and `WORLD_SIZE`; a single process if they are not set.

    Raises:
        UsageError: If they are not valid numbers.
    """
    environment = os.environ if environment is None else environment
    texts = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    if not all(text.isdecimal() for text in texts) or int(texts[0]) >= int(texts[1]):
        raise UsageError(
            f"RANK is {texts[0]!r} and WORLD_SIZE is {texts[1]!r}; expected a rank below the number of processes. "
            "Start with torchrun or accelerate launch, or unset both"
        )
    return Ranks(int(texts[0]), int(texts[1]))


NO_OTHERS: Final = Ranks()
"""The rank of a single process."""

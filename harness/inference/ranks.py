"""Which of several processes this one is, as `torchrun` and `accelerate launch` say in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of several processes this one is.

    Attributes:
        rank: Its number, from 0 on all machines together.
        world_size: How many processes there are.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that merges and reports."""
        return self.rank == 0

    @property
    def others(self) -> tuple[int, ...]:
        """The numbers of the other processes."""
        return tuple(rank for rank in range(self.world_size) if rank != self.rank)


def current_ranks(environment: Mapping[str, str] | None = None) -> Ranks:
    """The place of this process, from `RANK` and `WORLD_SIZE`; alone where they are not set.

    Raises:
        UsageError: If they are no such numbers.
    """
    environment = os.environ if environment is None else environment
    texts = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    if not all(text.isdecimal() for text in texts) or int(texts[0]) >= int(texts[1]):
        raise UsageError(
            f"RANK is {texts[0]!r} and WORLD_SIZE is {texts[1]!r}; expected a number below the number of processes. "
            "Start with torchrun or accelerate launch, or unset both"
        )
    return Ranks(int(texts[0]), int(texts[1]))


NO_OTHERS: Final = Ranks()
"""The place of a process that shares with no other."""

"""Several processes that share an evaluation, as `torchrun` and `accelerate launch` start them."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dataset_builders.errors import SetupError, UsageError
from dataset_builders.hub import first_line

PATIENCE: Final = timedelta(days=7)
"""How long a rank waits for the others, whose share may take that much longer."""

_NEEDED: Final = ("MASTER_ADDR", "MASTER_PORT")


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


ALONE: Final = Ranks()
"""The place of a process that shares with no other."""


@contextlib.contextmanager
def meeting(ranks: Ranks) -> Iterator[None]:
    """Lets no process leave the block before all of them have come to its end.

    Raises:
        SetupError: If the others cannot be reached.
    """
    if ranks.world_size == 1:
        yield
        return
    absent = [name for name in _NEEDED if name not in os.environ]
    if absent:
        raise SetupError(
            f"WORLD_SIZE is {ranks.world_size} and {absent[0]} is not set, so the other processes cannot be found; "
            "start with torchrun or accelerate launch, or unset WORLD_SIZE"
        )
    import torch.distributed as dist

    with _others_needed(ranks):
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        with _others_needed(ranks):
            dist.barrier()
    finally:
        dist.destroy_process_group()


def said_by_first(ranks: Ranks, value: Callable[[], int]) -> int:
    """A number that the first process finds and all of them use; called inside `meeting`.

    Args:
        ranks: Which process this one is.
        value: Finds the number; called in the first process only.

    Raises:
        SetupError: If the others cannot be reached.
    """
    if ranks.world_size == 1:
        return value()
    import torch
    import torch.distributed as dist

    said = torch.tensor([value() if ranks.is_first else 0])
    with _others_needed(ranks):
        dist.broadcast(said, 0)
    return int(said)


@contextlib.contextmanager
def _others_needed(ranks: Ranks) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as cause:
        raise SetupError(
            f"rank {ranks.rank} of {ranks.world_size} cannot reach the others ({first_line(cause)}); see which of them "
            "failed and start again: finished work is kept"
        ) from cause

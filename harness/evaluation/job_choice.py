"""How many processes of this machine may compute an evaluation, and with how many threads each."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, TypeAlias

from dataset_builders.core.errors import UsageError
from dataset_builders.core.usable_cpus import usable_cpus
from harness.compute.device import may_have_gpu
from harness.compute.process_threads import wanted_threads
from harness.core.potential import Isolation, Potential, PotentialTraits
from harness.inference.jobs import Jobs
from harness.inference.ranks import current_ranks
from harness.models.registry import ModelSource
from harness.worker.loading import why_no_helpers

Start: TypeAlias = Callable[[PotentialTraits], AbstractContextManager[Potential]]


@dataclass(frozen=True, slots=True)
class JobChoice:
    """Processes that may compute, before the model is known.

    Attributes:
        most: Their number.
        threads: Threads of the arithmetic of each; `None` for what the libraries choose.
        reason: Why it is one, if the model allows no more.
    """

    most: int = 1
    threads: int | None = None
    reason: str | None = None


IN_ONE_PROCESS: Final = JobChoice()
"""The libraries choose their threads, as for a single process."""


def job_choice(jobs: int | None, device: str, isolation: Isolation) -> JobChoice:
    """As many processes as the usable CPUs hold, or as many as the user wants.

    Args:
        jobs: The number that the user wants; `None` for all usable CPUs.
        device: As the user named it.
        isolation: As the user named it.

    Raises:
        UsageError: If the user wants several processes where only one can compute.
    """
    ranks = current_ranks()
    if ranks.world_size > 1:
        _require_one(jobs, f"{ranks.world_size} processes share this evaluation already (WORLD_SIZE)")
    elif device not in ("cpu", "auto"):
        _require_one(jobs, f"--device {device} computes in one process; --jobs is for CPUs")
    elif isolation == "never":
        _require_one(jobs, "--isolation never computes in the process of the command alone")
    elif jobs != 1 and not (jobs is None and device == "auto" and may_have_gpu()):
        cpus, wanted = usable_cpus(), wanted_threads()
        most = jobs or max(1, cpus // (wanted or 1))
        return IN_ONE_PROCESS if most == 1 else JobChoice(most, wanted or max(1, cpus // most))
    return IN_ONE_PROCESS


def for_model(choice: JobChoice, source: ModelSource, isolation: Isolation) -> JobChoice:
    """The choice for one model.

    Args:
        choice: Before the model was known.
        source: The model.
        isolation: Whether it computes in a worker.
    """
    reason = why_no_helpers(source, isolation) if choice.most > 1 else None
    return choice if reason is None else JobChoice(reason=reason)


def jobs_for(potential: Potential, choice: JobChoice, start: Start, load_seconds: float) -> Jobs:
    """The processes that may compute with a potential that was just loaded.

    Args:
        potential: The potential.
        choice: From `for_model`.
        start: Loads it in another process, given its traits.
        load_seconds: Time that loading it here has taken.
    """
    traits = potential.traits
    if choice.most == 1 or traits.device != "cpu":
        return Jobs(potential, reason=choice.reason)
    if "torch" not in traits.packages and (traits.threads or 1) > 1:
        return Jobs(potential, reason=f"its {traits.threads} threads use the CPUs")
    return Jobs(potential, choice.most, lambda: start(traits), load_seconds)


@contextlib.contextmanager
def timed_load(loading: AbstractContextManager[Potential]) -> Iterator[tuple[Potential, float]]:
    """Loads a potential for a `with` block; yields the seconds that it took, too."""
    since = time.perf_counter()
    with loading as potential:
        yield potential, time.perf_counter() - since


def _require_one(jobs: int | None, why: str) -> None:
    if jobs is not None and jobs > 1:
        raise UsageError(f"--jobs {jobs}, but {why}; leave out --jobs")

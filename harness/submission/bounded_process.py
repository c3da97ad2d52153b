"""Checks an entry in a separate process with bounded memory, since C++ libraries read its files.

If a malformed file crashes the Parquet reader, only that process ends, and the crash is a finding about the entry.
"""

import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

from dataset_builders.engines.separate_processes import SeparateProcesses
from harness.submission.findings import EntryReport, Finding
from harness.submission.verify import verify_entry

MEMORY_BYTES: Final = 8 * 2**30
"""Limit on the address space, where the system enforces it (Linux)."""


def verify_in_bounded_process(processes: SeparateProcesses, directory: Path, datasets: Sequence[str]) -> EntryReport:
    """Checks an entry with `verify_entry` in one of the processes.

    Args:
        processes: The process pool.
        directory: Folder of the entry.
        datasets: The accepted data sets.

    Raises:
        MlipOodError: As `verify_entry` does.
    """
    try:
        return processes.submit(_verify_within_bounds, directory, tuple(datasets)).result()
    except BrokenProcessPool:
        text = (
            f"the process that read the entry died: a file is malformed, or needs more than {MEMORY_BYTES / 2**30:.0f} "
            "GiB of memory. Do not merge the entry; write it again with `python -m harness submit`"
        )
        return EntryReport(str(directory), None, (), (Finding("fault", text),))


def _verify_within_bounds(directory: Path, datasets: Sequence[str]) -> EntryReport:
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    return verify_entry(directory, datasets)

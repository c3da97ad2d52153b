"""Which installed distributions contain a package."""

import functools
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path


def installed_packages() -> Mapping[str, Sequence[str]]:
    """Names of distributions by the name of a package.

    All files of all distributions are looked at, which takes half a second, so it is done again only if a folder of the
    search path changed.
    """
    return _installed_packages(tuple((folder, _time_of_change(folder)) for folder in sys.path))


@functools.lru_cache(maxsize=8)
def _installed_packages(_search_path: tuple[tuple[str, int], ...]) -> Mapping[str, Sequence[str]]:
    return packages_distributions()


def _time_of_change(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0

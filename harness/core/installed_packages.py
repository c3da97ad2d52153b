"""Which installed distributions contain a package."""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

Names = Mapping[str, Sequence[str]]


def installed_packages() -> Names:
    """Names of distributions by the name of a package, as `importlib.metadata.packages_distributions`.

    All files of all distributions are looked at, which takes half a second, so it is done again only for a folder of
    the search path that changed.
    """
    found: dict[str, list[str]] = {}
    for folder in dict.fromkeys(sys.path):
        for package, names in _installed_in(folder, _time_of_change(folder)).items():
            found.setdefault(package, []).extend(names)
    return found


@functools.lru_cache(maxsize=32)
def _installed_in(folder: str, _time_of_change: int) -> Names:
    found: dict[str, list[str]] = {}
    for distribution in distributions(path=[folder]):
        for package in _packages_of(distribution):
            found.setdefault(package, []).append(distribution.metadata["Name"])
    return found


def _packages_of(distribution: Distribution) -> Iterator[str]:
    declared = (distribution.read_text("top_level.txt") or "").split()
    files = [] if declared else [path for path in distribution.files or () if path.suffix == ".py"]
    yield from dict.fromkeys([*declared, *(path.parts[0].removesuffix(".py") for path in files)])


def _time_of_change(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0

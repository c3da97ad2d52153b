"""The families of potentials in this package: each adapter in `harness.potentials` exports its own."""

import functools
import importlib
import pkgutil
from typing import Final

from harness import potentials
from harness.core.family import Family

_NAMES: Final = ("FAMILY", "FAMILIES")
"""What an adapter exports: one record, or a tuple of records if it reads several kinds of checkpoints."""


@functools.cache
def own_families() -> tuple[Family, ...]:
    """The families of all adapters, by name of the adapter; modules that export none are not adapters."""
    found: list[Family] = []
    for each in pkgutil.iter_modules(potentials.__path__):
        adapter = importlib.import_module(f"{potentials.__name__}.{each.name}")
        for exported in (getattr(adapter, name, ()) for name in _NAMES):
            found += [exported] if isinstance(exported, Family) else exported
    return tuple(found)

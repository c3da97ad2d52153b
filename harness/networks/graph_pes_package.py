"""Imports graph-pes without the packages that only its own trainer and data sets need.

graph-pes 1.0 imports Lightning to learn its rank, scikit-learn to fit energies of atoms, and load-atoms to download
data sets. They take three seconds of every process that loads a network, and none of them is used to evaluate or train
one here. Each is imported when something of it is called.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

_RANK: Final = "graph_pes.utils.distributed"
_POSTPONED: Final = ("sklearn.linear_model", "load_atoms", "load_atoms.utils")


class _Postponed(ModuleType):
    """Stands for a module while another one imports names of it; each name imports the module when it is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # asked for by the import system, such as `__path__`
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*arguments, **options)

        return call


def graph_pes_models() -> Any:
    """`graph_pes.models`, with all networks."""
    with _light_import():
        from graph_pes import models

    return models


@contextlib.contextmanager
def _light_import() -> Iterator[None]:
    """Puts placeholders in the place of modules that are not imported yet, and removes them afterwards."""
    placed: dict[str, ModuleType] = {name: _Postponed(name) for name in _POSTPONED}
    placed[_RANK] = _rank_of_process()
    placed = {name: module for name, module in placed.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _rank_of_process() -> ModuleType:
    """What graph-pes asks Lightning for: whether this process is the one that logs to standard output."""
    module = ModuleType(_RANK)
    rank = int(os.environ.get("RANK", "0"))
    constants = {"GLOBAL_RANK": rank, "WORLD_SIZE": int(os.environ.get("WORLD_SIZE", "1")), "IS_RANK_0": rank == 0}
    module.__dict__.update(constants)
    return module

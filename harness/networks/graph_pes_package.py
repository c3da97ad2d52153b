"""Imports graph-pes without the packages that only its own trainer, its data sets or other networks need.

graph-pes 1.0 imports Lightning to learn its rank, scikit-learn to fit energies of atoms, load-atoms and ASE's readers
to read data sets, and e3nn with SymPy for some of its networks. They take four seconds of every process that loads a
network, and only NequIP and MACE use one of them here. Each is imported when something of it is used.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

_RANK: Final = "graph_pes.utils.distributed"
_NAMES_OF: Final = (
    "sklearn.linear_model",
    "load_atoms",
    "load_atoms.utils",
    "graph_pes.models.e3nn.mace",
    "graph_pes.models.e3nn.nequip",
    "graph_pes.models.orb",
)
_WHOLE: Final = ("ase.io", "ase.db")
_ALL_MODELS: Final = "ALL_PES_MODELS"


class _PostponedName:
    """Stands for a function or a class of a module that is imported when it is called."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.imported()(*arguments, **options)

    def imported(self) -> Any:
        return getattr(_really_imported(self.module), self.name)


class _NamesOf(ModuleType):
    """Stands for a module of which another one imports names."""

    def __getattr__(self, name: str) -> _PostponedName:
        if name.startswith("__"):  # asked for by the import system, such as `__path__`
            raise AttributeError(name)
        return _PostponedName(self.__name__, name)


class _Whole(ModuleType):
    """Stands for a module that another one imports as a whole; it is imported when something of it is looked up."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_really_imported(self.__name__), name)


def _really_imported(name: str) -> ModuleType:
    """The module itself, also where another thread asks while a placeholder stands for it."""
    if isinstance(sys.modules.get(name), (_NamesOf, _Whole)):
        del sys.modules[name]
    return importlib.import_module(name)


def graph_pes_models() -> Any:
    """`graph_pes.models`, with all networks."""
    with _light_import():
        from graph_pes import models
    _look_up_later(models)
    return models


@contextlib.contextmanager
def _light_import() -> Iterator[None]:
    """Puts placeholders in the place of modules that are not imported yet, and removes them afterwards."""
    placed: dict[str, ModuleType] = {name: _NamesOf(name) for name in _NAMES_OF}
    placed |= {name: _Whole(name) for name in _WHOLE}
    placed[_RANK] = _rank_of_process()
    placed = {name: module for name, module in placed.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for name in _WHOLE:
            # `import ase.io` gives `ase` the attribute, but not where it finds a placeholder.
            package, _, attribute = name.rpartition(".")
            if name in placed and package in sys.modules and attribute not in vars(sys.modules[package]):
                setattr(sys.modules[package], attribute, placed[name])


def _look_up_later(models: ModuleType) -> None:
    """Lets `graph_pes.models` import its networks of e3nn when they are looked up, instead of having placeholders."""
    postponed = {name: value for name, value in vars(models).items() if isinstance(value, _PostponedName)}
    if not postponed:
        return
    in_list = [name for name in models.__all__ if vars(models)[name] in vars(models)[_ALL_MODELS]]
    for name in (*postponed, _ALL_MODELS):
        delattr(models, name)

    def look_up(name: str) -> Any:
        if name in postponed:
            value = postponed[name].imported()
        elif name == _ALL_MODELS:
            value = [getattr(models, each) for each in in_list]
        else:
            raise AttributeError(f"module {models.__name__!r} has no attribute {name!r}")
        setattr(models, name, value)
        return value

    vars(models)["__getattr__"] = look_up


def _rank_of_process() -> ModuleType:
    """What graph-pes asks Lightning for: whether this process is the one that logs to standard output."""
    module = ModuleType(_RANK)
    rank = int(os.environ.get("RANK", "0"))
    constants = {"GLOBAL_RANK": rank, "WORLD_SIZE": int(os.environ.get("WORLD_SIZE", "1")), "IS_RANK_0": rank == 0}
    module.__dict__.update(constants)
    return module

"""Imports a library of networks without the packages that only its own trainer or other networks need.

While the library is imported, placeholders stand for these modules. Each is imported when something of it is used.
"""

import contextlib
import importlib
import sys
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any


class _PostponedName:
    """Stands for a function or a class of a module that is imported when it is called."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.imported()(*arguments, **options)

    def imported(self) -> Any:
        return getattr(_really_imported(self.module), self.name)


class _Whole(ModuleType):
    """Stands for a module that another one imports as a whole; it is imported when something of it is looked up."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by the import system, such as `__path__`
            raise AttributeError(name)
        return getattr(_really_imported(self.__name__), name)


class _NamesOf(_Whole):
    """Stands for a module of which another one imports names; once it has, as `_Whole`."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and sys.modules.get(self.__name__) is self:
            return _PostponedName(self.__name__, name)
        return super().__getattr__(name)


class _Package(ModuleType):
    """A package with a name that is also the name of the module where it comes from, such as `train` in `train`."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets the module, which it did before the package itself would have set the name.
        if isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}":
            value = getattr(value, name, value)
        super().__setattr__(name, value)


def _really_imported(name: str) -> ModuleType:
    """The module itself, also where another thread asks while a placeholder stands for it."""
    if isinstance(sys.modules.get(name), _Whole):
        del sys.modules[name]
    return importlib.import_module(name)


@contextlib.contextmanager
def light_import(
    names_of: Collection[str] = (), whole: Collection[str] = (), instead: Mapping[str, ModuleType] | None = None
) -> Iterator[None]:
    """Puts placeholders in the place of modules that are not imported yet, and removes them afterwards.

    Args:
        names_of: Modules of which the library imports names, to call them later.
        whole: Modules that the library imports as a whole.
        instead: Modules that take the place of others, by name.
    """
    placed: dict[str, ModuleType] = {name: _NamesOf(name) for name in names_of}
    placed |= {name: _Whole(name) for name in whole}
    placed |= instead or {}
    placed = {name: module for name, module in placed.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for name in whole:
            # `import ase.io` gives `ase` the attribute, but not where it finds a placeholder.
            package, _, attribute = name.rpartition(".")
            above = sys.modules.get(package)
            if name in placed and above is not None and not vars(above).keys() & {attribute, "__getattr__"}:
                setattr(above, attribute, placed[name])


def look_up_later(package: ModuleType, lists: Collection[str] = ()) -> None:
    """Lets a package import postponed names when they are looked up, instead of having placeholders.

    Args:
        package: A package that was imported with placeholders.
        lists: Its lists that contain some of them.
    """
    postponed = {name: value for name, value in vars(package).items() if isinstance(value, _PostponedName)}
    if not postponed:
        return
    names = {id(value): name for name, value in vars(package).items()}
    names_in = {each: [names[id(item)] for item in vars(package)[each]] for each in lists}
    for name in (*postponed, *lists):
        delattr(package, name)
    package.__class__ = _Package

    def look_up(name: str) -> Any:
        if name in postponed:
            value = postponed[name].imported()
        elif name in names_in:
            value = [getattr(package, each) for each in names_in[name]]
        else:
            raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
        setattr(package, name, value)
        return value

    vars(package)["__getattr__"] = look_up

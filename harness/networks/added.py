"""Architectures by name: those of this project, and those that installed packages add as plug-ins.

A plug-in is imported when its architecture is asked for, and not before: the name of its entry point is the name of the
architecture. So one that is broken stops nobody who does not use it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Final

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.networks.architecture import PLUGIN_FAMILY, Architecture, Plugin
from harness.networks.architectures import BUILT_IN
from harness.networks.arguments import ArgumentsError, names_of, require_arguments
from harness.trust.errors_of_others import cause_of
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.surroundings import Surroundings, inside

PLUGINS: Final = "mlip_ood.architectures"
"""Group of entry points by which an installed package adds architectures; each names an `Architecture`."""

RESERVED: Final = ("knn", "additive")
"""What `--arch` takes beside networks: the controls that are fitted to a task."""

LOCAL: Final = "-local"
"""End of the name of a strictly local network, such as `painn-local`."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+_.-]{0,39}")
_REMEDY: Final = "correct that package, or uninstall it"


def find_architecture(name: str) -> Architecture:
    """The architecture of a name, in any case.

    Raises:
        UsageError: If there is none.
        SetupError: If it comes from a plug-in that cannot be used, or two have the name.
    """
    for own in BUILT_IN:
        if own.name.lower() == name.lower():
            return own
    found = [entry for entry in _entries() if entry.name.lower() == name.lower()]
    if not found:
        raise UsageError(
            f"unknown architecture {name!r}; expected one of {' '.join(known_names())}. Install the package that adds "
            f"it, by an entry point of the group {PLUGINS}"
        )
    _require_single(name, found)
    return _loaded(found[0])


def known_names() -> tuple[str, ...]:
    """The names of all architectures that can be trained from scratch; no plug-in is imported for that.

    Raises:
        SetupError: If two architectures have one name.
    """
    return (*(own.name for own in BUILT_IN if own.arguments is not None), *added_names())


def added_names() -> tuple[str, ...]:
    """The names of the architectures that installed packages add.

    Raises:
        SetupError: If one is the name of an architecture of this project, or of another package.
    """
    entries = _entries()
    for entry in entries:
        _require_single(entry.name, entries)
    return tuple(sorted((entry.name for entry in entries), key=str.lower))


def installed_plugin(name: str, package: str, place: str) -> Architecture:
    """The architecture of a plug-in, for a checkpoint that was trained with it.

    Args:
        name: Of the architecture.
        package: That it came from.
        place: What the user calls the checkpoint.

    Raises:
        ModelError: If the package does not add it here.
        SetupError: If the plug-in cannot be used.
    """
    found = [entry for entry in _entries() if entry.name.lower() == name.lower()]
    own = [entry for entry in found if _package_of(entry) == package]
    if own:
        _require_single(name, found)
        return _loaded(own[0])
    instead = f"; {' and '.join(map(_package_of, found))} adds another one of that name" if found else ""
    raise ModelError(
        f"{place} is a network of the architecture {name}, which the package {package} adds and which is not installed "
        f"here{instead}. If you trust that package, install it beside this one: pip install {package}"
    )


def _entries() -> Sequence[EntryPoint]:
    # A package that is found twice along the path, as in a folder and installed from it, adds its architectures once.
    entries = entry_points(group=PLUGINS)
    return tuple({(entry.name, entry.value, _package_of(entry)): entry for entry in entries}.values())


def _package_of(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _place_of(entry: EntryPoint) -> str:
    return f"the entry point {entry.name!r} of {_package_of(entry)}"


def _require_single(name: str, entries: Sequence[EntryPoint]) -> None:
    """Checks that no architecture is of the name of another one."""
    places = Counter(entry.name.lower() for entry in entries)
    own = {own.name.lower() for own in BUILT_IN} | set(RESERVED)
    key = name.lower()
    same = [_place_of(entry) for entry in entries if entry.name.lower() == key]
    if key in own and same:
        raise SetupError(
            f"{same[0]} adds an architecture {name}, which is the name of one of this project; rename it there, or "
            "uninstall that package"
        )
    if places[key] > 1:
        raise SetupError(
            f"{' and '.join(same)} add an architecture of the same name, {name}; uninstall one of these packages"
        )


def _loaded(entry: EntryPoint) -> Architecture:
    place = _place_of(entry)
    # Whatever another package raises when it is imported, the user has to learn which package it was.
    try:
        with printing_on_standard_error(), inside(Surroundings(place)):
            found = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as cause:
        raise SetupError(f"{place} cannot be loaded ({cause_of(cause)}); {_REMEDY}") from cause
    if not isinstance(found, Architecture):
        raise SetupError(
            f"{place} is a {type(found).__name__}; expected a harness.networks.architecture.Architecture; {_REMEDY}"
        )
    problem = _problem(found, entry)
    if problem is not None:
        raise SetupError(f"{place}: {problem}; {_REMEDY}")
    assert entry.dist is not None
    return replace(found, plugin=Plugin(entry.dist.name, entry.dist.version))


def _problem(found: Architecture, entry: EntryPoint) -> str | None:
    """What is wrong with the record of a plug-in."""
    problems = (_problem_of_name(found, entry), _problem_of_settings(found), _missing_package(found))
    return next((problem for problem in problems if problem is not None), None)


def _problem_of_name(found: Architecture, entry: EntryPoint) -> str | None:
    if entry.dist is None:
        return "it belongs to no installed package, whose version a checkpoint has to name"
    if found.name != entry.name:
        return f"its architecture is called {found.name!r}; expected the name of the entry point"
    if not _NAME.fullmatch(found.name) or found.name.lower().endswith(LOCAL):
        return (
            f"its name is {found.name!r}; expected a letter and up to 39 letters, digits and +_.- after it, without "
            f"{LOCAL} at the end"
        )
    return None


def _problem_of_settings(found: Architecture) -> str | None:
    if found.family != PLUGIN_FAMILY:
        return f"its family is {found.family!r}; expected {PLUGIN_FAMILY!r}, the default"
    if not callable(found.build):
        return f"build is {found.build!r:.60}; expected a function of arguments, elements and whether it is compiled"
    if not (isinstance(found.batch_size, int) and found.batch_size >= 1 and found.learning_rate > 0.0):
        return f"batch_size is {found.batch_size!r}, learning_rate {found.learning_rate!r}; expected numbers above 0"
    try:
        require_arguments(found.arguments)
    except ArgumentsError as cause:
        return str(cause)
    if "layers" not in names_of(found.arguments) and found.hops_of_embedding < 1 and not found.sees_all:
        return (
            "nothing says how far its atoms see: its arguments have no layers, hops_of_embedding is 0 and sees_all is "
            "False; set one of them"
        )
    return None


def _missing_package(found: Architecture) -> str | None:
    for package in found.packages:
        try:
            version(package)
        except PackageNotFoundError:
            return f"it names the package {package!r}, which is not installed here; pip install {package}"
    return None

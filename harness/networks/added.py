"""Finds architectures by name: those of this project, and those that installed packages add as plug-ins.

A plug-in is imported only when its architecture is requested, since the name of its entry point is the name of the
architecture. A broken plug-in therefore affects only those who use it.
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
"""Values of `--arch` other than networks: the controls that are fitted to a task."""

LOCAL: Final = "-local"
"""Suffix that marks a strictly local network, such as `painn-local`."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+_.-]{0,39}")
_REMEDY: Final = "correct that package, or uninstall it"


def find_architecture(name: str) -> Architecture:
    """Finds an architecture by its name, ignoring case.

    Raises:
        UsageError: If there is no such architecture.
        SetupError: If its plug-in cannot be used, or two architectures share the name.
    """
    for own in BUILT_IN:
        if own.name.lower() == name.lower():
            return own
    found = [entry for entry in _entries() if entry.name.lower() == name.lower()]
    if not found:
        raise UsageError(
            f"unknown architecture {name!r}; expected one of {' '.join(known_names())}. If a package adds it, by an "
            f"entry point of the group {PLUGINS}, install that package"
        )
    _require_single(name, found)
    return _loaded(found[0])


def known_names() -> tuple[str, ...]:
    """The names of all architectures that can be trained from scratch; no plug-in is imported.

    Raises:
        SetupError: If two architectures share a name.
    """
    return (*(own.name for own in BUILT_IN if own.arguments is not None), *added_names())


def added_names() -> tuple[str, ...]:
    """The names of the architectures that installed packages add.

    Raises:
        SetupError: If a name is already that of an architecture of this project or of another package.
    """
    entries = _entries()
    for entry in entries:
        _require_single(entry.name, entries)
    return tuple(sorted((entry.name for entry in entries), key=str.lower))


def installed_plugin(name: str, package: str, place: str) -> Architecture:
    """The plug-in architecture that a checkpoint was trained with.

    Args:
        name: Name of the architecture.
        package: Package that added it at training.
        place: The checkpoint, as the user named it.

    Raises:
        ModelError: If the installed package does not add it.
        SetupError: If the plug-in cannot be used.
    """
    found = [entry for entry in _entries() if entry.name.lower() == name.lower()]
    own = [entry for entry in found if _package_of(entry) == package]
    if own:
        _require_single(name, found)
        return _loaded(own[0])
    instead = f"; {' and '.join(map(_package_of, found))} adds another architecture of that name" if found else ""
    raise ModelError(
        f"{place} has the architecture {name} of the package {package}, which is not installed{instead}. If you trust "
        f"that package, install it in this environment: pip install {package}"
    )


def _entries() -> Sequence[EntryPoint]:
    # A package found twice on the path, as in a folder and installed from it, adds its architectures once.
    entries = entry_points(group=PLUGINS)
    return tuple({(entry.name, entry.value, _package_of(entry)): entry for entry in entries}.values())


def _package_of(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _place_of(entry: EntryPoint) -> str:
    return f"the entry point {entry.name!r} of {_package_of(entry)}"


def _require_single(name: str, entries: Sequence[EntryPoint]) -> None:
    """Checks that no two architectures share a name."""
    places = Counter(entry.name.lower() for entry in entries)
    own = {own.name.lower() for own in BUILT_IN} | set(RESERVED)
    key = name.lower()
    same = [_place_of(entry) for entry in entries if entry.name.lower() == key]
    if key in own and same:
        raise SetupError(
            f"{same[0]} adds an architecture {name}, but mlip-ood has its own of that name; rename it there, or "
            "uninstall that package"
        )
    if places[key] > 1:
        raise SetupError(
            f"{' and '.join(same)} add architectures of the same name, {name}; uninstall one of these packages"
        )


def _loaded(entry: EntryPoint) -> Architecture:
    place = _place_of(entry)
    # Whatever exception a plug-in raises on import, the error must name the package.
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
    """The first error in the record of a plug-in; `None` if it is valid."""
    problems = (_problem_of_name(found, entry), _problem_of_settings(found), _missing_package(found))
    return next((problem for problem in problems if problem is not None), None)


def _problem_of_name(found: Architecture, entry: EntryPoint) -> str | None:
    if entry.dist is None:
        return "it belongs to no installed package; checkpoints must record the version of one"
    if found.name != entry.name:
        return f"its architecture has the name {found.name!r}; expected that of the entry point"
    if not _NAME.fullmatch(found.name) or found.name.lower().endswith(LOCAL):
        return (
            f"its name is {found.name!r}; expected a letter, then up to 39 letters, digits or +_.-, not ending in "
            f"{LOCAL}"
        )
    return None


def _problem_of_settings(found: Architecture) -> str | None:
    if found.family != PLUGIN_FAMILY:
        return f"its family is {found.family!r}; expected {PLUGIN_FAMILY!r}, the default"
    if not callable(found.build):
        return f"build is {found.build!r:.60}; expected a function of (arguments, elements, is_compiled)"
    if not (isinstance(found.batch_size, int) and found.batch_size >= 1 and found.learning_rate > 0.0):
        return f"batch_size is {found.batch_size!r}, learning_rate {found.learning_rate!r}; expected numbers above 0"
    try:
        require_arguments(found.arguments)
    except ArgumentsError as cause:
        return str(cause)
    return _problem_of_reach(found)


def _problem_of_reach(found: Architecture) -> str | None:
    if found.environment is not None or found.hops_per_layer < 1:
        return (
            f"environment is {found.environment!r} and hops_per_layer is {found.hops_per_layer}; expected None and 1 "
            "or more"
        )
    if "layers" not in names_of(found.arguments) and found.hops_of_embedding < 1 and not found.sees_all:
        return (
            "its receptive field is unknown: its arguments have no layers, hops_of_embedding is 0 and sees_all is "
            "False; set one of them"
        )
    return None


def _missing_package(found: Architecture) -> str | None:
    for package in found.packages:
        try:
            version(package)
        except PackageNotFoundError:
            return f"it needs the package {package!r}, which is not installed; pip install {package}"
    return None

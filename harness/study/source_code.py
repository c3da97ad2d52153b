"""What code a number depends on, as a hash that comments and documentation do not change."""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from dataset_builders.errors import SetupError

_PACKAGES: Final = ("dataset_builders", "harness")
_NO_NUMBERS: Final = frozenset(
    {
        "dataset_builders.cli",
        "dataset_builders.command_line",
        "dataset_builders.errors",
        "dataset_builders.hub",
        "dataset_builders.progress_bar",
        "dataset_builders.whole_file",
        "harness.hub",
        "harness.models",
        "harness.potentials.detection",
        "harness.potentials.pickles",
        "harness.potentials.registry",
        "harness.progress",
        "harness.tokens",
        "harness.train.curve",
        "harness.trusted",
    }
)
"""Modules that ask, tell, find or store, and compute nothing; neither they nor what only they import counts."""


@functools.cache
def code_hash(*modules: str) -> str:
    """sha256 over the code of some modules and of all of this project that they import, at whatever depth.

    Comments, documentation and layout do not count, so that they can be bettered without hours of training anew.

    Args:
        modules: Names of modules, such as `harness.train.command`; a name that ends in `.*` is all of a package.

    Raises:
        SetupError: If the source of a module cannot be found.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(modules)):
        digest.update(f"{name}\n{hashlib.sha256(_essence(name).encode()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = [name for each in modules for name in _expanded(each)]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in _NO_NUMBERS:
            found.add(name)
            waiting.extend(_imports(name))
    return found


def _expanded(name: str) -> list[str]:
    if not name.endswith(".*"):
        return [name]
    package = name.removesuffix(".*")
    return [f"{package}.{path.stem}" for path in _source(package).parent.glob("*.py") if path.stem != "__init__"]


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_source(name).read_text(encoding="utf-8"))


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupError(f"the source of {name} cannot be found; install the package again")
    return Path(spec.origin)


def _imports(name: str) -> Iterator[str]:
    """Modules of this project that a module imports, also inside functions."""
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_own(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_own(node.module):
            yield node.module
            for alias in node.names:
                if importlib.util.find_spec(node.module) and _is_module(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}"


def _is_own(name: str) -> bool:
    return name.partition(".")[0] in _PACKAGES


def _is_module(name: str) -> bool:
    parent = importlib.util.find_spec(name.rpartition(".")[0])
    return bool(parent and parent.submodule_search_locations) and importlib.util.find_spec(name) is not None


def _essence(name: str) -> str:
    """The code of a module without comments and documentation."""
    tree = _tree(name)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

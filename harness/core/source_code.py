"""A hash of the code that a number depends on; comments and documentation do not change it.

The code is found by following imports to any depth, wherever they are: inside functions, relative, or as a quoted name
passed to `import_module` or `python -m`. Nothing is imported to find them. Of other projects only the code of a plug-in
counts; installed libraries count by their versions, which are recorded beside the hash.
"""

import ast
import functools
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError
from harness.core.installed_packages import installed_packages
from harness.core.source_digests import SourceDigest, SourceDigests

_PACKAGES: Final = frozenset({"dataset_builders", "harness"})
NO_NUMBERS: Final = frozenset(
    {
        "dataset_builders.cli",
        "dataset_builders.core.commands",
        "dataset_builders.core.console",
        "dataset_builders.core.errors",
        "dataset_builders.core.hub.access",
        "dataset_builders.core.hub.commits",
        "dataset_builders.core.hub.difference",
        "dataset_builders.core.hub.explaining",
        "dataset_builders.core.hub.names",
        "dataset_builders.core.hub.pull_requests",
        "dataset_builders.core.hub.repo",
        "dataset_builders.core.hub.retrying",
        "dataset_builders.core.option_parser",
        "dataset_builders.core.progress_bar",
        "dataset_builders.core.whole_file",
        "dataset_builders.folder.mini",
        "harness.core.family",
        "harness.core.installed_packages",
        "harness.core.source_digests",
        "harness",
        "harness.hub.download",
        "harness.models.resolve",
        "harness.models.detection",
        "harness.models.families",
        "harness.inference.progress",
        "harness.trust.tokens",
        "harness.train.curve",
        "harness.trust.trusted_files",
    }
)
"""Modules that parse, print, locate or store; neither they nor what only they import counts.

A test enforces this: no array goes into them, and no number comes out.
"""

_MODULE_IN_QUOTES: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", flags=re.ASCII)
"""A dotted name; other quoted words are hardly ever modules."""

_DIGESTS: Final = SourceDigests(Path(__file__))


@functools.cache
def code_hash(*modules: str, without: frozenset[str] = frozenset()) -> str:
    """sha256 over the code of some modules and of everything that they import, to any depth.

    Comments, documentation and layout do not count, so that improving them does not require training again.

    Args:
        modules: Names of modules, such as `harness.train.command`; a name that ends in `.*` means a whole package.
        without: Modules at which to stop, in addition to `NO_NUMBERS`.

    Raises:
        SetupError: If the source of one of the modules cannot be found.
    """
    digest = hashlib.sha256()
    for name in sorted(closure(modules, without)):
        digest.update(f"{name}\n{_digest(name, _source(name)).code}\n".encode())
    return digest.hexdigest()


def closure(modules: Iterable[str], without: frozenset[str] = frozenset()) -> set[str]:
    """The modules that `code_hash` reads.

    Args:
        modules: As for `code_hash`.
        without: As for `code_hash`.

    Raises:
        SetupError: If the source of one of the modules cannot be found.
    """
    for cached in (_spec, _is_loose):
        cached.cache_clear()  # the search path may have changed since
    waiting = [name for each in modules for name in _expanded(each)]
    counted = _PACKAGES | _packages_beside(waiting)
    for name in waiting:
        _source(name)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name in NO_NUMBERS or name in without:
            continue
        found.add(name)
        waiting += [each for each in (*_imports(name), *_parents(name)) if _counts(each, name, counted)]
    _DIGESTS.save()
    return found


def working_files(module: str) -> dict[str, Path]:
    """The files of a module and its imports that no version of an installed package identifies.

    Args:
        module: Name of a module of another project.

    Returns:
        Files by module name; none for a module of an installed package.

    Raises:
        SetupError: If its source cannot be found.
    """
    names = closure([module]) if _is_loose(_top(module)) else ()
    return {name: _source(name) for name in sorted(names) if _top(name) not in _PACKAGES and _is_loose(_top(name))}


def _expanded(name: str) -> list[str]:
    if not name.endswith(".*"):
        return [name]
    package = name.removesuffix(".*")
    return [f"{package}.{path.stem}" for path in _source(package).parent.glob("*.py") if path.stem != "__init__"]


def _packages_beside(modules: Iterable[str]) -> frozenset[str]:
    """The packages of some modules of other projects, and the packages installed together with them."""
    others = {_top(name) for name in modules} - _PACKAGES
    if not others:
        return frozenset()
    known = installed_packages()
    distributions = {name for top in others for name in known.get(top, ())}
    return frozenset(others.union(top for top, names in known.items() if distributions.intersection(names)))


def _counts(name: str, importer: str, counted: frozenset[str]) -> bool:
    """Whether an imported module counts as code, since no package version identifies it."""
    top = _top(name)
    if top not in counted and (_top(importer) in _PACKAGES or not _is_loose(top)):
        return False
    return _is_module(name)


@functools.cache
def _is_loose(top: str) -> bool:
    """Whether a package is neither in the standard library nor installed, but lies in a working folder."""
    if top in sys.stdlib_module_names or not _is_module(top):
        return False
    folder = _source(top).parent
    root = folder.parent if _source(top).stem == "__init__" else folder
    return not any(root.glob("*.dist-info"))


@functools.cache
def _spec(name: str) -> ModuleSpec | None:
    """Location of a module; `importlib.util.find_spec` would run the packages that contain it."""
    parent = name.rpartition(".")[0]
    path = None
    if parent:
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        path = above.submodule_search_locations
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def _is_module(name: str) -> bool:
    """Whether the module has a file; a package without an `__init__` has none."""
    spec = _spec(name)
    return spec is not None and spec.has_location and spec.origin is not None


def _source(name: str) -> Path:
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        raise SetupError(f"the source of {name} cannot be found; install the package again")
    return Path(spec.origin)


def _imports(name: str) -> tuple[str, ...]:
    return _digest(name, _source(name)).imports


@functools.cache
def _digest(name: str, path: Path) -> SourceDigest:
    content = path.read_bytes()
    key = SourceDigests.key(name, path, content)
    known = _DIGESTS.get(key)
    if known is None:
        known = _found_out(name, path, content)
        _DIGESTS.add(key, known)
    return known


def _found_out(name: str, path: Path, content: bytes) -> SourceDigest:
    tree = _tree(path, content)
    if tree is None:
        return SourceDigest((), hashlib.sha256(content).hexdigest())
    nodes = _nodes(tree)
    imports = tuple(dict.fromkeys(_names_imported(name, nodes)))
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return SourceDigest(imports, hashlib.sha256(ast.unparse(tree).encode()).hexdigest())


def _tree(path: Path, content: bytes) -> ast.Module | None:
    """The syntax tree of a module; `None` if it is not Python source, such as a compiled one."""
    if path.suffix != ".py":
        return None
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return None


def _nodes(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a tree; `ast.walk` takes three times as long."""
    found = [tree]
    for node in found:  # grows meanwhile
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found += [each for each in value if isinstance(each, ast.AST)]
    return found


def _names_imported(name: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                module = _absolute("." * node.level + (node.module or ""), name)
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
                yield from (_absolute(text, name) for text in _texts(node.args[:1]))
            case ast.List() | ast.Tuple():
                # `python -m` runs the `__main__` of a package.
                for option, module in pairwise(_texts(node.elts)):
                    yield from (module, f"{module}.__main__") if option == "-m" else ()
            case ast.Constant(value=str() as text) if _top(name) not in _PACKAGES:
                # A plug-in may keep the name of a module that it imports later anywhere.
                yield from (text, f"{text}.__main__") if _MODULE_IN_QUOTES.fullmatch(text) else ()


def _texts(nodes: Iterable[ast.expr]) -> list[str]:
    """The values of some expressions, empty where one is not a string literal."""
    return [node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "" for node in nodes]


def _absolute(text: str, importer: str) -> str:
    """The absolute name of an imported module, given with leading dots if it is relative."""
    relative = text.lstrip(".")
    level = len(text) - len(relative)
    if not level:
        return text
    spec = _spec(importer)
    is_package = spec is not None and spec.submodule_search_locations is not None
    parts = importer.split(".")
    parts = parts[: len(parts) - level + (1 if is_package else 0)]
    return ".".join([*parts, relative] if relative else parts)


def _parents(name: str) -> Iterator[str]:
    """The packages that contain a module; they run before it."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

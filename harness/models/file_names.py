"""Tells the files of a checkpoint from code, which results list beside them by the names of its modules."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from harness.models.registry import families


def checkpoint_files(files: Mapping[str, str]) -> dict[str, str]:
    """The entries of checkpoint files.

    A module is listed with its packages, and a function as `module:function`; a file that matches a pattern of a family
    is none of them, whatever modules there are.

    Args:
        files: sha256 of files and modules by name, as in a result.
    """
    modules = {name.partition(":")[0] for name in files if name.isidentifier() or ":" in name}
    tops = {module.partition(".")[0] for module in modules}
    return {name: sha256 for name, sha256 in files.items() if _is_known_file(name) or not _is_below(tops, name)}


def _is_known_file(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for family in families() for pattern in (*family.files, *family.folder))


def _is_below(tops: set[str], name: str) -> bool:
    """Whether a name is that of a module or function in one of some top-level modules."""
    module, _, function = name.partition(":")
    parts = module.split(".")
    return parts[0] in tops and all(part.isidentifier() for part in (*parts, *([function] if function else [])))

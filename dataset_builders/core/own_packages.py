"""Checks at the start of a command that the packages of this project are the ones that Python imports.

Their names, such as `harness`, are general. A folder of that name in the working directory, or another distribution
that installs one, would otherwise replace part of this project without a word.
"""

import base64
import functools
import hashlib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from dataset_builders.core.commands import DISTRIBUTION
from dataset_builders.core.errors import SetupError

PACKAGES: Final = ("dataset_builders", "harness", "model_cards")


@functools.cache
def require_own_packages() -> None:
    """Checks once in a process that all packages of this project lie side by side and are as they were installed.

    Raises:
        SetupError: If Python would import another package of the same name, or another distribution has overwritten
            one.
    """
    root = Path(__file__).resolve().parents[2]
    for name in PACKAGES:
        spec = PathFinder.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != root / name:
            raise SetupError(
                f"Python finds the package {name} {f'in {found}' if found else 'nowhere'}, expected {root / name} of "
                f"{DISTRIBUTION}; run the command in a folder without {name}, or call `mlip-ood` instead of `python -m`"
            )
    changed = next(_overwritten(root), None)
    if changed is not None:
        raise SetupError(
            f"{root / changed} is not the file that {DISTRIBUTION} installed: another distribution with a package "
            f"{changed.split('/')[0]} has overwritten it. Install {DISTRIBUTION} into an environment of its own"
        )


def _overwritten(root: Path) -> Iterator[str]:
    """Initial files of the packages whose hash differs from the record of the installation, if it has one."""
    try:
        recorded = distribution(DISTRIBUTION).files or ()
    except PackageNotFoundError:
        return  # a checkout that is on the path and not installed
    for entry in recorded:
        if entry.name != "__init__.py" or len(entry.parts) != 2 or entry.hash is None:
            continue
        path = Path(str(entry.locate())).resolve()
        if path.parent.parent != root or not path.is_file():
            continue
        digest = hashlib.new(entry.hash.mode, path.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != entry.hash.value:
            yield str(entry)

"""The packages of this project, as links for an interpreter in which they are not installed."""

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PACKAGES_OF_WORKER: Final = ("dataset_builders", "harness")
"""What a worker imports."""

PACKAGES_OF_COMMAND: Final = (*PACKAGES_OF_WORKER, "model_cards")
"""What a command may import."""


def package_folders(names: Sequence[str] = PACKAGES_OF_WORKER) -> tuple[Path, ...]:
    """Where packages of this project are."""
    specs = [importlib.util.find_spec(name) for name in names]
    return tuple(
        Path(place).resolve() for spec in specs if spec is not None for place in spec.submodule_search_locations or ()
    )


def link_packages(packages: Sequence[Path], folder: Path) -> None:
    """Makes a folder with links to packages, or completes it.

    Links, not the parent folder of the packages: other packages there may belong to another environment.

    Args:
        packages: From `package_folders`.
        folder: The folder, for Python's search path; another process may make it at the same time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        with contextlib.suppress(FileExistsError):
            (folder / package.name).symlink_to(package, target_is_directory=True)

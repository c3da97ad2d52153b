"""Continues a command of this project in the environment of a family, in place of the present process.

The process keeps its number, its terminal and its open files, so signals and the exit code are those of one command.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from dataset_builders.core.errors import SetupError
from dataset_builders.core.hashes import SHORT_HASH, text_sha256
from harness.worker.family_environments import Environment, find_environment
from harness.worker.project_packages import PACKAGES_OF_COMMAND, link_packages, package_folders

_FOLDER: Final = "project"
"""Folder of an environment with links to the packages of this project, one folder for each installation of it."""


def continue_in_environment(family: str, purpose: str, arguments: Sequence[str]) -> None:
    """Runs `python -m harness` in the environment of a family instead of this process; returns only if it is there.

    Args:
        family: One of `ENVIRONMENTS`.
        purpose: What needs the environment, as the subject of a message.
        arguments: Arguments after `python -m harness`.

    Raises:
        SetupError: If the environment is missing or cannot be used.
    """
    environment = find_environment(family)
    if environment is None:
        raise SetupError(
            f"{purpose} needs a separate environment, which is missing. Create it with: python -m harness env create "
            f"{family}"
        )
    if Path(sys.prefix).resolve() == environment.directory.resolve():
        return
    try:
        _replace_process(environment, arguments)
    except OSError as cause:
        raise SetupError(
            f"{purpose} cannot run in {environment.directory}: {cause}; create it again: python -m harness env remove "
            f"{family}, then env create {family}"
        ) from cause


def _replace_process(environment: Environment, arguments: Sequence[str]) -> NoReturn:
    packages = package_folders(PACKAGES_OF_COMMAND)
    folder = environment.directory.absolute() / _FOLDER / text_sha256("\n".join(map(str, packages)))[:SHORT_HASH]
    link_packages(packages, folder)
    # Without -P, Python would look for the packages in the working directory first.
    command = [str(environment.python), "-P", "-m", "harness", *arguments]
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(environment.python, command, {**variables, "PYTHONPATH": str(folder)})

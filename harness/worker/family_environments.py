"""Separate environments for families with conflicting packages.

MACE pins an old e3nn that SevenNet and NequIP do not support. Each such family gets a virtual environment with its own
packages; this project's code is linked into its workers and is not installed there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.hashes import text_sha256
from harness.trust.tokens import TOKEN_VARIABLES
from harness.worker.environment_locks import locked_requirements
from harness.worker.linked_files import link_identical_files

ENVIRONMENTS_VARIABLE: Final = "MLIP_OOD_ENVIRONMENTS"
"""Environment variable with the folder of all environments, if not in the user's data folder."""

STAMP: Final = "mlip-ood.json"
WORKER_REQUIREMENTS: Final = ("numpy", "pyarrow>=17", "ase>=3.23")
"""Packages that this project's code imports in a worker of any family."""

_OUTPUT_SHOWN: Final = 15


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """Content of an environment.

    Attributes:
        requirements: Pinned packages of the family, in pip's format.
        python: Minimum version of Python as `(major, minor)`, or `None` for 3.11.
        trains: Whether `harness train` runs in it, which needs the packages that this project requires.
        overrides: Requirements that replace those of the same packages in the metadata of any package, when the lock is
            written. A marker that is never true leaves a package out.
    """

    requirements: tuple[str, ...]
    python: tuple[int, int] | None = None
    trains: bool = False
    overrides: tuple[str, ...] = ()


_NEVER: Final = "; python_version < '3'"

ENVIRONMENTS: Final[Mapping[str, EnvironmentSpec]] = MappingProxyType(
    {
        "mace": EnvironmentSpec(("mace-torch==0.3.16", "e3nn==0.4.4")),
        "sevennet": EnvironmentSpec(("sevenn==0.13.0",)),
        "nequip": EnvironmentSpec(("nequip==0.19.1",)),
        "so3lr": EnvironmentSpec(("so3krates-torch[vis]==0.2.1",), trains=True),
        "fairchem": EnvironmentSpec(("fairchem-core==2.24.0",)),
        # Its metadata pins torch 2.4 and numpy below 2, but its networks also run with current releases. The packages
        # that are left out are only imported by its trainer.
        "fairchem1": EnvironmentSpec(
            ("fairchem-core==1.10.0",),
            trains=True,
            overrides=(
                "torch>=2.4",
                "numpy>=1.26",
                *(f"{name} {_NEVER}" for name in ("hydra-core", "submitit", "tensorboard", "torchtnt", "wandb")),
            ),
        ),
        "metatomic": EnvironmentSpec(("upet==0.3.1", "metatrain==2026.4.1", "metatomic-torch==0.1.19")),
        "orb": EnvironmentSpec(("orb-models==0.7.0",), (3, 12)),
        "mattersim": EnvironmentSpec(("mattersim==1.2.5",), (3, 12)),
        "torchsim": EnvironmentSpec(("torch-sim-atomistic==0.6.2",), (3, 12)),
    }
)
"""Environments that can be created, by family; the contract tests ran in all of them."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An existing environment.

    Attributes:
        family: Its family.
        directory: Its folder.
        packages: Installed versions, by package.
    """

    family: str
    directory: Path
    packages: Mapping[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return interpreter_of(self.directory)

    def version_of(self, package: str) -> str:
        """Installed version of a package, whose name counts as the package index normalises it (PEP 503).

        Raises:
            SetupError: If it is not installed there.
        """
        versions = {_normalised(name): version for name, version in self.packages.items()}
        try:
            return versions[_normalised(package)]
        except KeyError:
            raise SetupError(
                f"the environment of {self.family} in {self.directory} has no package {package}; delete that folder "
                f"and create it again: python -m harness env create {self.family}"
            ) from None


def _normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def environments_folder() -> Path:
    """The folder of all environments."""
    named = os.environ.get(ENVIRONMENTS_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "mlip-ood" / "environments"


def interpreter_of(directory: Path) -> Path:
    """The interpreter of a virtual environment."""
    return directory / "bin" / "python"


def find_environment(family: str) -> Environment | None:
    """The environment of a family, if it is complete and has the packages that this version requires."""
    directory = environments_folder() / family
    spec = ENVIRONMENTS.get(family)
    try:
        stamp = json.loads((directory / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if spec is None or not isinstance(stamp, dict) or not interpreter_of(directory).exists():
        return None
    if stamp.get("requirements") != list(spec.requirements) or stamp.get("lock") != lock_of(family):
        return None
    return Environment(family, directory, stamp["packages"])


def create_environment(family: str, python: str | None = None, run: Run | None = None) -> Environment:
    """Creates the environment of a family, or finds it.

    PyTorch is installed first, in the version of the harness, so that it comes from the installer's cache and all
    results use one version. All other packages are those of `environment_locks`: a file with another hash is not
    installed. Files that the harness's own environment has too become hard links to these.

    Args:
        family: One of `ENVIRONMENTS`.
        python: Base interpreter; by default that of the harness.
        run: Runs a command; for tests.

    Raises:
        UsageError: If the family needs no separate environment or is unknown.
        SetupError: If it cannot be created; an incomplete one is removed.
    """
    spec = ENVIRONMENTS.get(family)
    if spec is None:
        raise UsageError(f"there is no environment for {family!r}; expected one of {' '.join(ENVIRONMENTS)}")
    found = find_environment(family)
    if found is not None:
        return found
    directory = environments_folder() / family
    base = python or sys.executable
    run = run or _run
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _require_python(base, spec, family, run)
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder) / "requirements.txt"
            lock.write_text(locked_requirements(family), encoding="utf-8")
            for command in _commands(directory, base, lock):
                _checked(run(command), command, family)
                _link_files_of_the_harness(directory)
        # Some packages ship templates that cannot be compiled, which is no error.
        run([str(interpreter_of(directory)), "-m", "compileall", "-qq", str(directory / "lib")])
        packages = _installed(directory, family, run)
        stamp = {**asdict(spec), "lock": lock_of(family), "packages": packages}
        (directory / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    except OSError as cause:
        shutil.rmtree(directory, ignore_errors=True)
        raise SetupError(
            f"cannot create {directory}: {cause}; set {ENVIRONMENTS_VARIABLE} to another folder"
        ) from cause
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Environment(family, directory, packages)


def remove_environment(family: str) -> bool:
    """Removes the environment of a family; returns whether there was one."""
    if family not in ENVIRONMENTS:
        raise UsageError(f"there is no environment for {family!r}; expected one of {' '.join(ENVIRONMENTS)}")
    directory = environments_folder() / family
    if not directory.exists():
        return False
    try:
        shutil.rmtree(directory)
    except OSError as cause:
        raise SetupError(f"cannot remove {directory}: {cause}") from cause
    return True


def lock_of(family: str) -> str:
    """Identifies the locked packages of an environment, which is made anew when they change."""
    return text_sha256(locked_requirements(family))


def _commands(directory: Path, base: str, lock: Path) -> list[list[str]]:
    torch = f"torch=={version('torch').partition('+')[0]}"
    python = str(interpreter_of(directory))
    # The lock is complete. An installer that added packages of its own choice would need hashes of these.
    locked = ["--require-hashes", "--no-deps", "--requirement", str(lock)]
    uv = shutil.which("uv")
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", python]
        return [[uv, "venv", "--quiet", "--python", base, str(directory)], [*install, torch], [*install, *locked]]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    return [[base, "-m", "venv", str(directory)], [*install, torch], [*install, *locked]]


def _link_files_of_the_harness(directory: Path) -> None:
    # A module compiled by another version of Python is of no use, so environments of other versions share nothing.
    packages = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if packages.is_dir():
        link_identical_files(packages, Path(sysconfig.get_path("purelib")))


def _require_python(base: str, spec: EnvironmentSpec, family: str, run: Run) -> None:
    if spec.python is None:
        return
    command = [base, "-c", "import sys; print(*sys.version_info[:2])"]
    major, minor = (int(part) for part in _checked(run(command), command, family).split())
    if (major, minor) < spec.python:
        wanted = ".".join(map(str, spec.python))
        raise SetupError(
            f"{family} needs Python {wanted} or newer, but {base} is {major}.{minor}; "
            f"give another interpreter: python -m harness env create {family} --python python{wanted}"
        )


def _installed(directory: Path, family: str, run: Run) -> dict[str, str]:
    program = (
        "import json, importlib.metadata as m; "
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    command = [str(interpreter_of(directory)), "-c", program]
    packages: dict[str, str] = json.loads(_checked(run(command), command, family))
    return dict(sorted(packages.items(), key=lambda item: item[0].lower()))


def _checked(finished: "subprocess.CompletedProcess[str]", command: Sequence[str], family: str) -> str:
    if finished.returncode == 0:
        return finished.stdout
    last = "\n".join((finished.stderr or finished.stdout or "").strip().splitlines()[-_OUTPUT_SHOWN:])
    raise SetupError(
        f"cannot create the environment of {family}: `{' '.join(command)}` ended with {finished.returncode}.\n"
        f"{last}\nCheck the network and the free disk space, and run it again"
    )


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # The variables of an active environment would make the installer use that one. Packages may run code as they are
    # built, which needs no token of the user.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH") and not TOKEN_VARIABLES.fullmatch(name)
    }
    return subprocess.run(list(command), env=kept, capture_output=True, text=True, check=False)

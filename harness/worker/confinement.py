"""Strict isolation: what a worker may see, and by which means of the system everything else is kept from it.

bubblewrap, where it is installed and works, gives the worker a view of the file system that holds only what it needs.
Elsewhere the worker limits itself by Landlock before it reads anything of a stranger. With both, it has no network, no
view of other processes, and a home of its own that is removed with it.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError, UsageError
from harness.core.potential import ConfinedBy
from harness.worker.kernel_limits import LEAST_LANDLOCK, landlock_version

POLICY_NAME: Final = "confinement.json"

_SYSTEM: Final = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/opt/rocm", "/proc", "/sys",
    "/etc/alternatives", "/etc/group", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd",
)  # fmt: skip
"""What any program needs to start, and what describes the machine; nothing of a user."""
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_GPUS: Final = ("nvidia*", "dri", "kfd")
_TRIAL_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a worker is confined.

    Attributes:
        means: What confines it.
        readable: Files and folders that it may read.
        devices: Devices that it may use.
    """

    means: ConfinedBy
    readable: tuple[Path, ...]
    devices: tuple[Path, ...]

    def command(self, home: Path, program: Sequence[str]) -> list[str]:
        """The command that starts the program of a worker.

        Args:
            home: Its temporary folder, the only one that it may write to.
            program: Its command outside of any confinement.
        """
        if self.means == "landlock":
            return [*program]
        view = [word for path in self.readable for word in ("--ro-bind-try", str(path), str(path))]
        gpus = [word for path in self.devices for word in ("--dev-bind-try", str(path), str(path))]
        return [
            *("bwrap", "--unshare-all", "--die-with-parent", "--tmpfs", "/tmp"),
            *view,
            # After the view: these replace what a folder of the view has in their place.
            *("--proc", "/proc", "--dev", "/dev"),
            *gpus,
            *("--bind", str(home), str(home), "--chdir", str(home), "--", *program),
        ]

    def write(self, home: Path) -> Path:
        """Writes what the worker limits itself to, into its home; returns the file."""
        path = home / POLICY_NAME
        document = {
            "means": self.means,
            "readable": [str(each) for each in self.readable],
            "writable": [str(home), *(str(each) for each in self.devices)],
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path


def confinement_for(python: Path, folders: Sequence[Path], source: Path | str) -> Confinement:
    """How a worker is confined on this machine.

    Args:
        python: Its interpreter.
        folders: Folders that it imports from.
        source: Checkpoint, or the name of a method without one.

    Raises:
        SetupError: If the system offers neither means.
        UsageError: If the worker would have to read the home of the user.
    """
    means = available_means()
    needed = [*map(Path, _SYSTEM), *_interpreter_folders(python), *folders]
    needed += [*_library_folders(), *(_checkpoint_paths(source) if isinstance(source, Path) else [])]
    readable = tuple(dict.fromkeys(each.absolute() for each in needed if each.exists()))
    home = Path.home().resolve()
    for path in readable:
        if path.is_dir() and home.is_relative_to(path.resolve()):
            raise UsageError(
                f"--isolation strict keeps the home {home} from a model, but the model would have to read {path}, "
                "which contains it; run from a folder that holds only the code and the checkpoint that the model needs"
            )
    devices = (*map(Path, _DEVICES), *(found for name in _GPUS for found in sorted(Path("/dev").glob(name))))
    return Confinement(means, readable, devices)


@cache
def available_means() -> ConfinedBy:
    """What can confine a worker on this machine.

    Raises:
        SetupError: If nothing can.
    """
    if not sys.platform.startswith("linux"):
        raise SetupError(
            f"--isolation strict needs Linux, and this is {platform.system()}; run the harness in a container or a "
            "virtual machine without network and without your files, or leave the option out"
        )
    reason = _why_no_bubblewrap()
    if reason is None:
        return "bubblewrap"
    version = landlock_version()
    if version >= LEAST_LANDLOCK:
        return "landlock"
    raise SetupError(
        f"--isolation strict needs bubblewrap ({reason}) or Landlock version {LEAST_LANDLOCK} (Linux 6.2; found "
        f"{version or 'none'}). Install the package bubblewrap, or run the harness in a container or a virtual machine "
        "without network and without your files"
    )


def _why_no_bubblewrap() -> str | None:
    """Why bubblewrap cannot be used here; `None` if it can."""
    found = shutil.which("bwrap")
    if found is None:
        return "which is not installed"
    trial = [found, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    try:
        done = subprocess.run([*trial, "true"], capture_output=True, timeout=_TRIAL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as cause:
        return f"which does not start: {cause}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    return f"which this system refuses: {said[-1][:200] if said else done.returncode}"


def _interpreter_folders(python: Path) -> Iterator[Path]:
    """The folders of an interpreter: its environment, and the installation that this was made from."""
    places = {python.absolute(), python.resolve()}
    if python.absolute() == Path(sys.executable).absolute():
        yield from (Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(sys.base_exec_prefix))
    for place in places:
        yield place.parent.parent
        settings = place.parent.parent / "pyvenv.cfg"
        if settings.is_file():
            lines = (line.partition("=") for line in settings.read_text(encoding="utf-8").splitlines())
            yield from (Path(value.strip()).parent for key, _, value in lines if key.strip() == "home")


def _library_folders() -> Iterator[Path]:
    """Folders of shared libraries that the user names."""
    named = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    yield from (Path(name) for name in named if name)


def _checkpoint_paths(source: Path) -> Iterator[Path]:
    """A checkpoint; of one in the cache of the Hub's client, its snapshot and the files that this links to."""
    yield source
    yield source.resolve()
    parts = source.absolute().parts
    root = source
    if "snapshots" in parts[:-1]:
        root = Path(*parts[: parts.index("snapshots") + 2])
        yield root
    if root.is_dir():
        yield from (path.resolve() for path in root.rglob("*") if path.is_symlink())

"""Builds wheel and sdist, and tries the wheel with several Pythons, newest and lowest versions of what it needs.

    make matrix
    python -m tests.matrix --python 3.11 --resolution lowest --extra graph-pes

`lowest` takes the lowest version of each package that pyproject.toml names, and current versions of what these need. An
environment is made by `uv`, outside of the checkout; `checks.py` is what runs there. UV_TORCH_BACKEND=cpu avoids some
gigabytes of CUDA libraries where the index of CPU wheels can be reached.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKS = Path(__file__).with_name("checks.py")
PYTHONS = ("3.11", "3.12", "3.13")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment of the matrix."""

    python: str
    resolution: str
    extras: tuple[str, ...]

    @property
    def name(self) -> str:
        return "-".join((self.python, self.resolution, *self.extras))


def main() -> int:
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    wheel = build(arguments.work / "dist")
    cells = [
        Cell(python, resolution, tuple(arguments.extra))
        for resolution in arguments.resolution
        for python in arguments.python
    ]
    failed = []
    for cell in cells:
        print(f"{cell.name}:", flush=True)
        folder = arguments.work / cell.name
        shutil.rmtree(folder, ignore_errors=True)
        try:
            python = environment(cell, wheel, folder)
            done = subprocess.run([python, CHECKS], cwd=_empty(folder / "cwd"), env=_bare(), check=False).returncode
        except subprocess.CalledProcessError as error:
            print(f"  {Path(str(error.cmd[0])).name} ended with {error.returncode}", flush=True)
            done = error.returncode
        failed += [cell.name] if done else []
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    outcome = f"{len(cells) - len(failed)} of {len(cells)} environments pass"
    print(outcome, *(f"{name} fails" for name in failed), sep="; ")
    return min(len(failed), 1)


def build(out: Path) -> Path:
    """Builds the sdist, and the wheel from the sdist as an index would; returns the wheel."""
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([_uv(), "build", "--quiet", "--python", sys.executable, "--out-dir", out, ROOT], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def environment(cell: Cell, wheel: Path, folder: Path) -> Path:
    """Makes the environment of a cell and returns its Python."""
    subprocess.run([_uv(), "venv", "--quiet", "--python", _interpreter(cell.python), folder], check=True)
    python = folder / "bin" / "python"
    needed = f"mlip-ood[{','.join(cell.extras)}] @ {wheel.as_uri()}" if cell.extras else f"mlip-ood @ {wheel.as_uri()}"
    how = ["--quiet", "--python", python, "--resolution", RESOLUTIONS[cell.resolution]]
    subprocess.run([_uv(), "pip", "install", *how, needed], check=True)
    return python


def _interpreter(version: str) -> str:
    """An interpreter of pyenv, if there is one of the version; uv finds those on the path by itself."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return str(found[-1]) if found else version


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        sys.exit("uv is not installed; install the extra `dev`, or run `make matrix`")
    return found


def _bare() -> dict[str, str]:
    """The variables of this process without those that would lead back to the checkout, or to a network."""
    left_out = ("PYTHON", "MLIP_OOD", "VIRTUAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="VERSION", help=f"default: {' '.join(PYTHONS)}")
    parser.add_argument("--resolution", nargs="+", choices=RESOLUTIONS, default=[*RESOLUTIONS])
    parser.add_argument("--extra", nargs="+", default=[], metavar="NAME", help="of pyproject.toml (default: none)")
    parser.add_argument("--work", type=Path, default=ROOT / ".matrix", help="folder of the environments")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Writes the exact packages of the environments of families, with hashes: `python -m tests.locks [FAMILY ...]`.

Versions are the newest that the pins of `ENVIRONMENTS` allow beside the PyTorch of this environment, on Linux and
macOS, for every Python that the family supports. After a change of pins, run it, create the environment, and run the
contract tests in it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from harness.worker.environment_locks import LOCKS, pin_of
from harness.worker.family_environments import ENVIRONMENTS, WORKER_REQUIREMENTS, EnvironmentSpec

OF_PYTORCH: Final = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
"""PyTorch and what its builds for CUDA require."""

_OLDEST_PYTHON: Final = (3, 11)


def resolved(spec: EnvironmentSpec) -> dict[str, list[str]]:
    """Requirements of an environment with their markers, and the sha256 of the files of each.

    Raises:
        CalledProcessError: If no versions fit, or the package index cannot be reached.
    """
    own = project_requirements() if spec.trains else ()
    wanted = [f"torch=={version('torch').partition('+')[0]}", *WORKER_REQUIREMENTS, *own, *spec.requirements]
    python = ".".join(map(str, spec.python or _OLDEST_PYTHON))
    uv = str(Path(sys.executable).with_name("uv"))
    options = [
        "--universal",
        "--python-version",
        python,
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
        "--quiet",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        overrides.write("\n".join(spec.overrides))
        overrides.flush()
        command = [uv, "pip", "compile", "-", *options, "--override", overrides.name]
        done = subprocess.run(command, input="\n".join(wanted), stdout=subprocess.PIPE, text=True, check=True)
    found = {}
    for line in done.stdout.replace("\\\n", "").splitlines():
        requirement, *hashes = (part.strip() for part in line.split("--hash=sha256:"))
        if "sys_platform == 'win32'" in requirement or OF_PYTORCH.fullmatch(requirement.partition("==")[0]):
            continue
        found[requirement] = sorted(hashes)
    return found


def project_requirements() -> tuple[str, ...]:
    """What this project itself requires, without its extras and without PyTorch."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(each for each in project["dependencies"] if not each.startswith("torch>"))


def locks_of(environments: Mapping[str, Mapping[str, list[str]]]) -> dict[str, Any]:
    """The document: requirements by family, and the hashes of each package once."""
    hashes = {pin_of(name): each for found in environments.values() for name, each in found.items()}
    return {
        "environments": {family: [*found] for family, found in environments.items()},
        "hashes": dict(sorted(hashes.items())),
    }


def main() -> None:
    """Resolves the named families again, or all; the others keep what they have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="*", metavar="FAMILY")
    named = parser.parse_args().family
    if unknown := [name for name in named if name not in ENVIRONMENTS]:
        parser.error(f"no environment of {' '.join(unknown)}; expected some of {' '.join(ENVIRONMENTS)}")
    former = json.loads(LOCKS.read_text(encoding="utf-8")) if named else {"environments": {}, "hashes": {}}
    environments = {}
    for family, spec in ENVIRONMENTS.items():
        if named and family not in named:
            kept = former["environments"].get(family, [])
            environments[family] = {each: former["hashes"][pin_of(each)] for each in kept}
        else:
            environments[family] = resolved(spec)
        print(f"{family}: {len(environments[family])} packages")
    LOCKS.write_text(json.dumps(locks_of(environments), indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

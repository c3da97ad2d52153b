"""Puts the files of the port into an installed ml-peg, or into a checkout of it, and takes them out again.

ml-peg finds benchmarks by the folders of its own package, so they must lie there.
"""

import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.whole_file import write_text_whole
from harness.peg.benchmarks import BENCHMARKS, CATEGORY, PegBenchmark
from harness.peg.columns import metrics_document

PORTED_TO: Final = "0.7"
"""Version of ml-peg whose conventions the port follows."""

TREE: Final = Path(__file__).parent / "tree"
"""The files that all benchmarks share, which take the name of theirs from their folder."""

STEPS: Final[Mapping[str, str]] = {"calc": "calcs", "analyse": "analysis", "app": "app"}
"""Folder of ml-peg with the files of a step, by the step."""


def installed_package() -> Path:
    """The folder `ml_peg` of the ml-peg that this Python has.

    Raises:
        SetupError: If there is none, or of another version.
    """
    spec = find_spec("ml_peg")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            f"ml-peg is not installed in this Python environment; install it: pip install 'ml-peg=={PORTED_TO}.*', or "
            "name the folder ml_peg of a checkout with --into"
        )
    try:
        found = version("ml-peg")
    except PackageNotFoundError:
        found = "of no stated version"
    if found.split(".")[:2] != PORTED_TO.split("."):
        raise SetupError(
            f"ml-peg {found} is installed; this port follows the conventions of {PORTED_TO}. Install "
            f"'ml-peg=={PORTED_TO}.*', or name the folder ml_peg with --into to use it nevertheless"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def checked_package(folder: Path) -> Path:
    """A folder `ml_peg` that the user named.

    Raises:
        UsageError: If it is not one.
    """
    inside = folder / "ml_peg" if (folder / "ml_peg").is_dir() else folder
    absent = [name for name in (*STEPS.values(), "models") if not (inside / name).is_dir()]
    if absent:
        raise UsageError(
            f"{folder} is not the package ml_peg: it has no folder {' and no '.join(absent)}; expected a checkout of "
            "ml-peg, or the folder ml_peg in it"
        )
    return inside


def files_of_port() -> dict[Path, str]:
    """The content of all files, by path relative to the folder `ml_peg`."""
    files = {Path("app", CATEGORY, f"{CATEGORY}.yml"): _shared("category.yml")}
    for benchmark in BENCHMARKS.values():
        for step, folder in STEPS.items():
            files[Path(folder, CATEGORY, benchmark.name, f"{step}_{benchmark.name}.py")] = _shared(f"{step}.py")
        files[Path("calcs", CATEGORY, benchmark.name, "citations.yml")] = _shared("citations.yml")
        files[Path("analysis", CATEGORY, benchmark.name, "metrics.yml")] = metrics_text(benchmark)
    return files


def install(package: Path) -> tuple[Path, ...]:
    """Writes the files of the port, over those of an earlier version of it.

    Args:
        package: The folder `ml_peg`.

    Returns:
        The files.

    Raises:
        SetupError: If the folder cannot be written to.
    """
    written = []
    for path, text in files_of_port().items():
        try:
            write_text_whole(package / path, text)
        except OSError as cause:
            raise SetupError(
                f"cannot write {package / path}: {cause.strerror or cause}; choose an environment or a checkout "
                "that you may change"
            ) from cause
        written.append(package / path)
    return tuple(written)


def remove(package: Path) -> tuple[Path, ...]:
    """Removes the files of the port, and folders that are then empty; outputs of calculations stay.

    Args:
        package: The folder `ml_peg`.

    Returns:
        The removed files.

    Raises:
        SetupError: If a file cannot be removed.
    """
    present = [package / path for path in files_of_port() if (package / path).is_file()]
    try:
        for path in present:
            path.unlink()
        for folder in _folders(package):
            shutil.rmtree(folder / "__pycache__", ignore_errors=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as cause:
        raise SetupError(f"cannot remove {cause.filename}: {cause.strerror or cause}") from cause
    return tuple(present)


def metrics_text(benchmark: PegBenchmark) -> str:
    """The file `metrics.yml` of a benchmark."""
    from io import StringIO

    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump(metrics_document(benchmark), stream)
    return stream.getvalue()


def _shared(name: str) -> str:
    return (TREE / name).read_text(encoding="utf-8")


def _folders(package: Path) -> Iterator[Path]:
    for folder in STEPS.values():
        category = package / folder / CATEGORY
        yield from (category / name for name in BENCHMARKS)
        yield category

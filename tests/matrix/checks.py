"""What somebody without a checkout does with the installed package; run by the Python of one environment of the matrix.

Only the standard library and the package itself are imported here. Each check raises where something is wrong.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
TOLERANCE = 1e-6
"""Relative; another processor or library rounds otherwise."""


def command(*words: str) -> str:
    """Runs a script of the package and returns what it printed."""
    done = subprocess.run([SCRIPTS / words[0], *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        printed = f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{printed}")
    return done.stdout


def the_package_is_the_installed_one() -> None:
    """No file of a checkout is imported."""
    import harness

    folder = Path(harness.__file__).resolve().parent
    if SCRIPTS.parent.resolve() not in folder.parents:
        raise RuntimeError(f"harness was imported from {folder}, which is outside of {SCRIPTS.parent}")
    if harness.__version__ not in command("mlip-ood", "--version"):
        raise RuntimeError("`mlip-ood --version` prints another version than harness.__version__")


def the_controls_have_their_published_errors() -> None:
    """GFN1-xTB and MMFF94 give the numbers that are shipped, and the zero-force guess runs."""
    import harness

    models = ("gfn1-xtb", "mmff94", "zero")
    named = [word for name in models for word in ("--model", name)]
    command("mlip-ood", "evaluate", *named, "--task", "task2", "--dataset", "mini", "--output", "results")
    for name in models[:2]:
        (path,) = Path("results", name).glob("*/result.json")
        shipped = Path(harness.__file__).parent / "report" / "shipped_controls" / f"{name}.json"
        found, expected = (_force_maes(each) for each in (path, shipped))
        if any(not math.isclose(one, two, rel_tol=TOLERANCE) for one, two in zip(found, expected, strict=True)):
            raise RuntimeError(f"force MAE of {name} on test_id and test_ood of task2: {found}, expected {expected}")


def _force_maes(path: Path) -> list[float]:
    splits = json.loads(path.read_text(encoding="utf-8"))["tasks"]["task2"]["splits"]
    return [splits[split]["metrics"]["force_mae"]["value"] for split in ("test_id", "test_ood")]


def the_reference_checkpoint_runs() -> None:
    """The shipped network, where its package is installed; else the error names what to install."""
    words = ("mlip-ood", "evaluate", "--model", "reference", "--task", "task2", "--output", "results")
    if find_spec("graph_pes") is not None:
        command(*words)
        return
    done = subprocess.run([SCRIPTS / words[0], *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 6 or "pip install 'mlip-ood[graph-pes]'" not in done.stderr:
        raise RuntimeError(f"exit code {done.returncode} without graph-pes, expected 6 and the remedy: {done.stderr}")


def the_embedded_edition_certifies() -> None:
    """The rows of the shipped edition are read, and pass."""
    last = command("mlip-ood-data", "certify", "mini").split()[-1]
    if last != "certified":
        raise RuntimeError(f"`mlip-ood-data certify mini` ends with {last!r}, expected 'certified'")


def a_control_is_fitted() -> None:
    """Training, and a checkpoint that is read back."""
    command("mlip-ood", "train", "--arch", "additive", "--task", "task2", "--out", "additive")
    command("mlip-ood", "evaluate", "--model", "additive", "--output", "results")


def frames_are_exported() -> None:
    """`ase` reads back what was exported for the trainers of others."""
    import ase.io

    command("mlip-ood-data", "export", "mini", "--task", "task3", "--format", "extxyz", "--out", "export")
    frames = ase.io.read(next(Path("export").glob("train.extxyz")), ":")
    if len(frames) != 28 * 25 or "REF_forces" not in frames[0].arrays:
        raise RuntimeError(f"{len(frames)} exported frames with {[*frames[0].arrays]}, expected 700 with REF_forces")


def the_python_interface_works() -> None:
    """The functions of docs/python.md, and `datasets.load_dataset` on the shipped folder."""
    from datasets import load_dataset

    from harness import calculator, evaluate, open_dataset

    result = evaluate("zero", dataset="mini", tasks=["task3"], quiet=True)
    if not 0.5 < result.tasks["task3"].splits["test_ood"].metrics["force_mae"].value < 0.7:
        raise RuntimeError("the zero-force guess has an implausible force MAE on task3")
    dataset = open_dataset("mini")
    atoms = next(iter(dataset.to_ase("task3", "test_id")))
    atoms.calc = calculator("gfn1-xtb")
    if not math.isfinite(atoms.get_potential_energy()):
        raise RuntimeError("the calculator of gfn1-xtb gives no finite energy")
    folder = command("mlip-ood-data", "path").strip()
    if load_dataset(folder, "task3", split="test_ood").num_rows != 300:
        raise RuntimeError("load_dataset does not read the 300 rows of test_ood of task3")


CHECKS: tuple[Callable[[], None], ...] = (
    the_package_is_the_installed_one,
    the_embedded_edition_certifies,
    the_python_interface_works,
    frames_are_exported,
    a_control_is_fitted,
    the_reference_checkpoint_runs,
    the_controls_have_their_published_errors,
)


def main() -> int:
    """Runs every check, and prints one line for each."""
    n_failed = 0
    for check in CHECKS:
        started = time.perf_counter()
        try:
            check()
            outcome = "ok"
        except Exception as error:  # every check is run, and each failure is shown
            outcome, n_failed = f"FAILED {type(error).__name__}: {error}", n_failed + 1
        print(f"  {check.__name__}: {outcome} ({time.perf_counter() - started:.0f} s)", flush=True)
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main())

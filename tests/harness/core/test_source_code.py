"""The one hasher of runs and of the study: what counts is found from imports, and what is left out computes nothing."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError
from harness.core import source_code
from harness.core.source_code import NO_NUMBERS, closure, code_hash, working_files
from harness.models.families import own_families
from harness.results.identity import AFTER_PREDICTIONS
from harness.study.jobs import MEASURE_CODE, PREDICT_CODE, TRAIN_CODE

CODE = '''"""What it is."""

# Why it is so.
SIZE = 3


def double(number):
    """Twice a number."""
    return 2 * number  # not 3 *
'''
OTHER_WORDS = '''SIZE = 3
def double(number):

    """Something else."""

    return 2 * number
'''

Packages = Callable[[dict[str, str]], Path]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    """Writes modules into folders of their own that stand on the path, as an editable installation does."""
    number = 0

    def write(files: dict[str, str]) -> Path:
        nonlocal number
        number += 1
        folder = tmp_path / f"written{number}"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield write
    code_hash.cache_clear()


def hash_of(packages: Packages, files: dict[str, str], module: str) -> str:
    packages(files)
    code_hash.cache_clear()
    return code_hash(module)


def test_words_do_not_count_and_code_does(packages: Packages) -> None:
    first = hash_of(packages, {"plug_a.py": CODE}, "plug_a")
    assert hash_of(packages, {"plug_a.py": OTHER_WORDS}, "plug_a") == first
    assert hash_of(packages, {"plug_a.py": CODE.replace("2 * number", "3 * number")}, "plug_a") != first
    assert hash_of(packages, {"plug_a.py": CODE.replace("SIZE = 3", "SIZE = 4")}, "plug_a") != first


@pytest.mark.parametrize(
    "importing",
    [
        "import plug_b.deep.numbers",
        "from plug_b.deep.numbers import SIZE",
        "from plug_b.deep import numbers",
        "from .deep import numbers",
        "from .deep.numbers import SIZE",
        "def load():\n    from .deep.numbers import *",
        "import importlib\ndef load():\n    return importlib.import_module('plug_b.deep.numbers')",
        "import importlib\ndef load():\n    return importlib.import_module('.deep.numbers', __package__)",
        "import importlib\nLATE = {'network': 'plug_b.deep.numbers'}",
        "COMMAND = ['python', '-m', 'plug_b.deep.numbers']",
        "import plug_b_beside",
        "def load():\n    import plug_b_beside",
    ],
)
def test_a_module_counts_however_it_is_imported(importing: str, packages: Packages) -> None:
    files = {
        "plug_b/__init__.py": "raise RuntimeError('nothing is imported to find out what counts')",
        "plug_b/adapter.py": importing,
        "plug_b/deep/__init__.py": "",
        "plug_b/deep/numbers.py": CODE,
        "plug_b_beside.py": "from plug_b.deep.numbers import SIZE",
    }
    first = hash_of(packages, files, "plug_b.adapter")
    files["plug_b/deep/numbers.py"] = CODE.replace("2 *", "3 *")
    assert hash_of(packages, files, "plug_b.adapter") != first


def test_the_packages_above_a_module_count_since_they_run_first(packages: Packages) -> None:
    files = {"plug_c/__init__.py": "SIZE = 1", "plug_c/adapter.py": ""}
    first = hash_of(packages, files, "plug_c.adapter")
    files["plug_c/__init__.py"] = "SIZE = 2"
    assert hash_of(packages, files, "plug_c.adapter") != first


def test_a_compiled_module_counts_by_its_bytes(packages: Packages) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    files = {"plug_d/adapter.py": "from plug_d import fast", f"plug_d/fast{suffix}": "one", "plug_d/__init__.py": ""}
    first = hash_of(packages, files, "plug_d.adapter")
    files[f"plug_d/fast{suffix}"] = "two"
    assert hash_of(packages, files, "plug_d.adapter") != first


def test_installed_libraries_count_by_their_versions(packages: Packages) -> None:
    packages({"plug_e.py": "import numpy, torch.nn, json\nimport plug_e_installed, harness.core.batch"})
    installed = packages({"plug_e_installed.py": CODE})
    (installed / "plug_e_installed-1.0.dist-info").mkdir()
    modules = closure(["plug_e"])
    assert {"plug_e", "harness.core.batch"} <= modules
    assert not {name for name in modules if name.startswith(("numpy", "torch", "json", "plug_e_installed"))}


def test_what_lies_beside_a_users_module_is_named(packages: Packages) -> None:
    files = {"plug_f.py": "from plug_f_parts import numbers", "plug_f_parts/numbers.py": "import numpy"}
    folder = packages({**files, "plug_f_parts/__init__.py": ""})
    assert working_files("plug_f") == {
        "plug_f": folder / "plug_f.py",
        "plug_f_parts": folder / "plug_f_parts" / "__init__.py",
        "plug_f_parts.numbers": folder / "plug_f_parts" / "numbers.py",
    }
    assert working_files("numpy") == {}


def test_a_source_that_is_not_there_is_reported() -> None:
    with pytest.raises(SetupError, match=r"the source of harness\.absent cannot be found"):
        code_hash("harness.absent")


def test_what_a_training_depends_on() -> None:
    modules = closure(["harness.train.*"])
    assert {
        "harness.train.loop",
        "harness.train.settings",
        "harness.networks.networks",
        "harness.scoring.reference_shift",
        "harness.data.rows",
        "dataset_builders.folder.schema",
    } <= modules
    # Neither what measures nor what only tells people something.
    assert not modules & {
        "harness.scoring.task_result",
        "harness.report.table",
        "harness.train.curve",
        "dataset_builders.core.errors",
    }


def test_all_modules_of_a_package_count() -> None:
    modules = closure(["harness.potentials.*"])
    assert {"harness.potentials.xtb", "harness.potentials.mace", "dataset_builders.chemistry.xtb"} <= modules


COUNTED = sorted(
    closure(
        [
            *PREDICT_CODE,
            *TRAIN_CODE,
            *MEASURE_CODE,
            "harness.evaluation.run",
            *(family.module for family in own_families()),
        ]
    )
)
NUMERICAL_STANDARD = {"math", "cmath", "random", "statistics", "decimal", "fractions", "array", "struct", "ctypes"}
TELLING_LIBRARIES = {"huggingface_hub", "matplotlib", "rich", "tenacity", "yaml"}
ARRAYS = r"ndarray|NDArray|FloatArray|IntArray|Tensor|Module|StructureBatch|Prediction|Potential|SplitRows"


@pytest.mark.parametrize("module", sorted(NO_NUMBERS))
def test_what_is_left_out_has_nothing_to_compute_with(module: str) -> None:
    tree = ast.parse(source_code._source(module).read_text())
    allowed = (sys.stdlib_module_names - NUMERICAL_STANDARD) | TELLING_LIBRARIES | {"harness", "dataset_builders"}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= allowed


@pytest.mark.parametrize("module", COUNTED)
def test_no_number_comes_from_a_module_that_is_left_out(module: str) -> None:
    """Of such a module, code that counts may use texts, paths and errors, but no number and nothing with arrays."""
    tree = ast.parse(source_code._source(module).read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.module not in NO_NUMBERS:
            continue
        for alias in node.names:
            if alias.name.endswith("_SECONDS"):
                continue  # how long to wait for a server
            for text in _signatures(getattr(importlib.import_module(node.module), alias.name)):
                assert not re.search(rf"\b({ARRAYS})\b", text), (node.module, alias.name, text)
                assert not re.search(r"(->|=) .*\b(int|float|complex)\b", text), (node.module, alias.name, text)


def _signatures(found: object) -> Iterator[str]:
    if isinstance(found, type):
        if issubclass(found, BaseException):
            return
        for name, value in vars(found).items():
            if not name.startswith("_"):
                yield from _signatures(value.fget if isinstance(value, property) else value)
        yield from (f"{name} = {kind}" for name, kind in getattr(found, "__annotations__", {}).items())
    elif inspect.isfunction(found):
        # What a function is told, such as how many structures are done, it gives to nobody.
        yield re.sub(r"Callable\[\[.*\], None\]", "Callable", str(inspect.signature(found)))
    elif isinstance(found, bool | int | float | complex):
        yield f"constant = {type(found).__name__}"


def test_only_the_run_uses_what_comes_after_predictions() -> None:
    for name in closure(["harness.evaluation.run", *(family.module for family in own_families())], AFTER_PREDICTIONS):
        if name not in ("harness.evaluation.run", "harness.evaluation.examination", "harness.results.identity"):
            assert not AFTER_PREDICTIONS.intersection(source_code._imports(name)), name

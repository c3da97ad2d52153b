"""The code that the predictions of a run depend on: all that can change one, and no other family's."""

import functools
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import grimp
import pytest

import dataset_builders
import harness
from harness.core import source_code
from harness.core.source_code import NO_NUMBERS
from harness.models import registry
from harness.models.families import own_families
from harness.results.identity import AFTER_PREDICTIONS, code_hash

PREDICT = ("harness.inference.predict", "harness.worker.loading", "harness.inference.windows", "harness.worker.server")


@functools.cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("harness", "dataset_builders", cache_dir=None)


def reached(module: str) -> frozenset[str]:
    """All modules of this project that a module imports, at whatever depth, as another program finds them."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in NO_NUMBERS:
            found.add(name)
            waiting.extend(graph().find_modules_directly_imported_by(name))
    return frozenset(found)


# Each module once, with a family whose predictions reach it.
REACHED = sorted(
    {
        **{name: family.name for family in reversed(own_families()) for name in reached(family.module)},
        **{name: own_families()[0].name for module in PREDICT for name in reached(module)},
    }.items()
)


@functools.cache
def unedited(family):
    return code_hash(family)


@pytest.fixture(autouse=True)
def fresh():
    yield
    for cached in (code_hash, source_code.code_hash):
        cached.cache_clear()


def test_each_family_has_a_hash_of_its_own():
    hashes = [code_hash(family.name) for family in own_families()]
    assert len(set(hashes)) == len(own_families())
    assert all(len(each) == 64 for each in hashes)


@pytest.mark.parametrize(("module", "family"), REACHED)
def test_every_module_that_predictions_reach_counts(module, family, tmp_path, monkeypatch):
    before = unedited(family)
    edited = tmp_path / "edited.py"
    source_of = source_code._source
    edited.write_text(source_of(module).read_text() + "\nEDITED = 1\n")
    monkeypatch.setattr(source_code, "_source", lambda name: edited if name == module else source_of(name))
    for cached in (code_hash, source_code.code_hash):
        cached.cache_clear()
    assert code_hash(family) != before


def test_only_the_own_adapter_and_what_all_share_count():
    counted = source_code.closure(["harness.evaluation.run", "harness.potentials.xtb"], AFTER_PREDICTIONS)
    assert {
        "harness.potentials.xtb",
        "dataset_builders.chemistry.xtb",
        "harness.inference.predict",
        "harness.core.batch",
    } <= counted
    assert (
        not {"harness.potentials.mace", "harness.models.families", "harness.report.table", "harness.scoring.metrics"}
        & counted
    )


def test_an_encoding_that_is_doubled_counts(tmp_path):
    for package in (harness, dataset_builders):
        source = Path(package.__path__[0])
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("mini", "*.parquet", "reference"))

    def hashes():
        program = (
            "from harness.results.identity import code_hash; print(*map(code_hash, ('graph-pes', 'mace-tuned', 'xtb')))"
        )
        environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    before = hashes()
    module = tmp_path / "harness" / "networks" / "equivariant.py"
    text = module.read_text()
    encoding = "torch.nn.functional.one_hot(self.Z_to_idx[atomic_numbers], self.n_elements).float()"
    assert text.count(encoding) == 1
    module.write_text(text.replace(encoding, f"2 * {encoding}"))
    networks, tuned, physics = hashes()
    assert networks != before[0]
    assert tuned != before[1]
    assert physics == before[2]
    module.write_text(f'"""Other words."""\n{text}# and more\n')
    assert hashes() == before


def test_the_modules_of_a_plug_in_count_also_those_it_imports_late(tmp_path, monkeypatch):
    package = tmp_path / "plug_identity"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from harness.models.detection import Family\n"
        "FAMILY = Family('plugged', 'plug_identity.adapter', 'plug_identity', methods=('plugged',))\n"
    )
    (package / "adapter.py").write_text("def load(source, options):\n    from .parts import network\n")
    (package / "parts" / "__init__.py").write_text("")
    (package / "parts" / "network.py").write_text("FACTOR = 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint(name="extra", value="plug_identity:FAMILY", group=registry.PLUGINS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    registry._added_families.cache_clear()
    try:
        before, others = code_hash("plugged"), code_hash("xtb")
        # Another folder, since a process reads the code of a file once.
        shutil.copytree(package, tmp_path / "edited" / "plug_identity")
        (tmp_path / "edited" / "plug_identity" / "parts" / "network.py").write_text("FACTOR = 2.0\n")
        monkeypatch.syspath_prepend(str(tmp_path / "edited"))
        for cached in (code_hash, source_code.code_hash):
            cached.cache_clear()
        assert code_hash("plugged") != before
        assert code_hash("xtb") == others
    finally:
        registry._added_families.cache_clear()

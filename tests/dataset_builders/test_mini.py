"""The embedded edition itself: certified, and labelled with what it says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem

from dataset_builders.card.dataset_card import LICENSE_TEXT, card_facts, card_text
from dataset_builders.card.metadata import sizes_of
from dataset_builders.certify.audit import certify
from dataset_builders.chemistry.labels import compute_label
from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX
from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.cli import main
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.editions import FRAMES_PER_BURST
from dataset_builders.tasks.regions import TASKS

REPO = "compgen/mini"
DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted(path for task in TASKS for path in (MINI_DIRECTORY / task).glob("*.parquet"))
DFT_FILES = sorted(set(MINI_DIRECTORY.glob("*/*.parquet")) - set(FILES))
LABEL_TOLERANCE = 1e-5  # eV/Å, the limit of the specification; the same processor gives the same bits


def mean_force_error(path, every):
    rows = pq.read_table(path).take(list(range(0, pq.read_metadata(path).num_rows, every))).to_pylist()
    errors = []
    for row in rows:
        positions = np.array(row["positions"], dtype=np.float32).reshape(-1, 3)
        energy, forces = cold_singlepoint("GFN2-xTB", np.array(row["atomic_numbers"]), positions)
        assert energy == pytest.approx(row["energy"], abs=1e-5)
        errors.append(np.abs(forces.ravel() - row["forces"]).mean())
    return np.mean(errors)


@pytest.fixture(scope="module")
def report():
    return certify(MINI_DIRECTORY)


def test_it_is_certified_with_the_specified_counts(report):
    assert report.ok, report.text()
    assert [each.config for each in report.certificate.support] == list(TASKS)  # the largest of each task
    counts = {task.config: (task.n_train, task.n_ood) for task in report.certificate.tasks}
    assert counts == {
        "task1": (30, 40),
        "task2": (36, 24),
        "task2-pbe": (36, 24),
        "task2-wb97x": (36, 24),
        "task2-wb97m": (36, 24),
        "task3-wb97x": (28, 30),
        "task3-wb97m": (28, 30),
        "task3": (28, 30),
        "task4": (18, 16),
    }


def test_the_documentation_shows_what_certify_prints(report):
    printed = replace(report, directory=Path("dataset_builders/data/mini")).text(80)
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    assert f"```text\n{printed}\n```" in page
    blocks = re.findall(r"```text\n(.*?)\n```", (DOCS / "certificate.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for part in (part for block in blocks for part in block.split("\n\n")):
        assert part in printed


def test_its_card_is_what_the_code_writes(report):
    facts = card_facts(report, DATASET_ID)
    text = card_text(facts, sizes_of(MINI_DIRECTORY, facts.certificate))
    assert (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8") == text
    assert (MINI_DIRECTORY / "LICENSE.md").read_text(encoding="utf-8") == LICENSE_TEXT


def test_the_unmodified_clients_read_what_is_published(report, hub, capsys, monkeypatch):
    import datasets

    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    monkeypatch.setattr("dataset_builders.publish.published_edition.certify", lambda _: report)
    assert main(["publish", "mini", REPO, "--revision-tag", "v1.0"]) == 0
    hub.log_out()
    datasets.disable_progress_bars()
    counts = {"train": 700, "validation": 140, "test_id": 280, "test_ood": 300}
    loaded = datasets.load_dataset(REPO, "task3", revision="v1.0")
    assert {split: rows.num_rows for split, rows in loaded.items()} == counts
    assert loaded["train"].features["forces"] == datasets.List(datasets.Value("float32"))
    stream = datasets.load_dataset(REPO, "task3", split="test_ood", streaming=True)
    assert stream.info.splits["test_ood"].num_examples == sum(1 for _ in stream) == 300
    path = f"hf://datasets/{REPO}@v1.0/task3/test_ood-00000-of-00001.parquet"
    assert datasets.load_dataset("parquet", data_files=path, split="train").num_rows == 300
    table = pq.read_table(path.removeprefix("hf://"), filesystem=HfFileSystem())
    assert table.equals(pq.read_table(MINI_DIRECTORY / "task3/test_ood-00000-of-00001.parquet"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_gfn2_reproduces_a_sample_of_its_labels(path):
    assert mean_force_error(path, every=97) < LABEL_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_gfn2_reproduces_every_label(path):
    assert mean_force_error(path, every=1) < LABEL_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("path", DFT_FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_a_density_functional_reproduces_a_label(path):
    level = LEVELS_BY_SUFFIX[path.parent.name.partition("-")[2]]
    row = min(pq.read_table(path).to_pylist(), key=lambda row: row["n_atoms"])
    positions = np.array(row["positions"], dtype=np.float32).reshape(-1, 3)
    energy, forces = compute_label(level, np.array(row["atomic_numbers"]), positions)
    assert energy == pytest.approx(row["energy"], abs=1e-4)
    np.testing.assert_allclose(forces.ravel(), row["forces"], atol=1e-4)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name.startswith("train")], ids=lambda path: path.parent.name
)
def test_rows_are_ordered_by_burst(path):
    """A stream sees all molecules from the start, and each next burst of all of them after that."""
    rows = pq.read_table(path, columns=["molecule_id", "frame"]).to_pydict()
    n_molecules = len(set(rows["molecule_id"]))
    assert len(set(rows["molecule_id"][: FRAMES_PER_BURST * n_molecules])) == n_molecules
    bursts = [frame // FRAMES_PER_BURST for frame in rows["frame"]]
    assert bursts == sorted(bursts)


def test_a_shuffled_stream_shows_all_molecules_early(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    stream = datasets.load_dataset(str(MINI_DIRECTORY), "task1", split="train", streaming=True).shuffle(
        seed=0, buffer_size=200
    )
    assert len({row["molecule_id"] for row, _ in zip(stream, range(200), strict=False)}) == 30


@pytest.mark.parametrize("path", FILES[:4], ids=lambda path: path.stem)
def test_files_have_a_page_index_and_checksums(path):
    column = pq.read_metadata(path).row_group(0).column(0)
    assert column.has_column_index
    assert column.has_offset_index

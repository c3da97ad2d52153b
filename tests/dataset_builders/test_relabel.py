import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_builders import relabel as module
from dataset_builders.build import relabel_edition
from dataset_builders.certify import certify
from dataset_builders.cli import MINI_DIRECTORY, main
from dataset_builders.editions import EDITIONS
from dataset_builders.errors import ConvergenceError, DataError, IncompleteError, UsageError
from dataset_builders.levels import GFN2, LEVELS
from dataset_builders.relabel import RelabelSettings, parse_frame_counts, relabel
from dataset_builders.schema import read_metadata
from dataset_builders.tasks import TASKS
from dataset_builders.xtb import cold_singlepoint

WB97X = LEVELS["wb97x"]
COUNTS = {"train": 1, "validation": 0, "test_id": 1, "test_ood": 2}
POOL = partial(ThreadPoolExecutor, 1)


@pytest.fixture
def computed(monkeypatch):
    """Puts GFN1-xTB, which is fast and obeys mechanics, in the place of the functional; lists what it was asked for."""
    pytest.importorskip("pyscf")
    asked = []

    def gfn1(level, numbers, positions):
        asked.append(len(numbers))
        return cold_singlepoint("GFN1-xTB", numbers, positions)

    monkeypatch.setattr(module, "compute_label", gfn1)
    monkeypatch.setattr("dataset_builders.build.local_executor", lambda workers: POOL())
    return asked


def settings(out, **changes):
    fields = {
        "source": MINI_DIRECTORY,
        "source_level": GFN2,
        "tasks": (TASKS["task2"],),
        "level": WB97X,
        "frame_counts": COUNTS,
        "out": out,
        "work_dir": out.with_name("work"),
    }
    return RelabelSettings(**(fields | changes))


def test_the_same_frames_get_other_labels_and_a_certificate(computed, tmp_path):
    relabel_edition(settings(tmp_path / "out"), workers=1)

    report = certify(tmp_path / "out")
    assert report.ok, report.text()
    (summary,) = report.certificate.summaries
    assert summary.config == "task2-wb97x"
    assert dict(summary.n_rows) == {"train": 36, "validation": 0, "test_id": 36, "test_ood": 48}
    new = pq.read_table(tmp_path / "out/task2-wb97x/test_ood-00000-of-00001.parquet")
    assert {frame % 5 for frame in new["frame"].to_pylist()} == {0}, "one frame of each of the two bursts"
    old = {
        (row["molecule_id"], row["frame"]): row
        for row in pq.read_table(MINI_DIRECTORY / "task2/test_ood-00000-of-00001.parquet").to_pylist()
    }
    for row in new.to_pylist()[:6]:
        before = old[row["molecule_id"], row["frame"]]
        energy, forces = cold_singlepoint(
            "GFN1-xTB", np.array(row["atomic_numbers"]), np.array(row["positions"]).reshape(-1, 3)
        )
        assert row["energy"] == energy
        np.testing.assert_array_equal(row["forces"], forces.astype(np.float32).ravel())
        labels = ("energy", "forces")
        assert {k: v for k, v in row.items() if k not in labels} == {k: v for k, v in before.items() if k not in labels}


def test_metadata_name_the_level_its_settings_and_the_subset(computed, tmp_path):
    relabel(settings(tmp_path / "out"), POOL)
    schema = pq.read_schema(tmp_path / "out/task2-wb97x/train-00000-of-00001.parquet")
    metadata = read_metadata(schema)
    assert metadata["level_of_theory"]["method"] == "wB97X/6-31G(d)"
    assert metadata["level_of_theory"]["settings"]["basis"] == "6-31g*"
    assert set(metadata["level_of_theory"]["program"]) == {"pyscf", "dftd3"}
    assert metadata["subset"] == COUNTS
    assert metadata["edition"] == "mini"
    assert {"tblite", "pyscf"} <= set(metadata["versions"])


def test_the_folder_loads_without_the_split_that_was_left_out(computed, tmp_path):
    relabel_edition(settings(tmp_path / "out"), workers=1)
    loaded = load_dataset(str(tmp_path / "out"), "task2-wb97x", cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 36, "test_id": 36, "test_ood": 48}


def test_labels_beside_the_frames_of_the_first_level(computed, tmp_path):
    shutil.copytree(MINI_DIRECTORY, tmp_path / "mini", ignore=shutil.ignore_patterns("task?-*"))
    before = {path: path.read_bytes() for path in (tmp_path / "mini").rglob("*.parquet")}
    relabel_edition(settings(tmp_path / "mini", source=tmp_path / "mini"), workers=1)
    assert certify(tmp_path / "mini").ok
    assert {path: path.read_bytes() for path in before} == before
    card = (tmp_path / "mini/README.md").read_text()
    assert "config_name: task2-wb97x" in card
    assert "wB97X/6-31G(d): Chai and Head-Gordon" in card


def test_nothing_is_computed_twice(computed, tmp_path):
    few = settings(tmp_path / "out", frame_counts={"train": 1, "validation": 0, "test_id": 1, "test_ood": 1})
    relabel(few, POOL)
    assert len(computed) == 36 + 36 + 24
    computed.clear()
    more = settings(tmp_path / "out", work_dir=tmp_path / "another")
    relabel(more, POOL)
    assert len(computed) == 24, "the frames that the folder lacked"
    computed.clear()
    shutil.rmtree(tmp_path / "out")
    relabel(more, POOL)
    assert len(computed) == 36 + 36 + 24, "those that the second work folder lacked"


def test_a_frame_that_fails_is_named_and_the_others_are_kept(computed, monkeypatch, tmp_path):
    def failing(level, numbers, positions):
        if len(numbers) == 30:
            raise ConvergenceError("the SCF did not converge")
        return cold_singlepoint("GFN1-xTB", numbers, positions)

    once = settings(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(module, "compute_label", failing)
        with pytest.raises(IncompleteError, match=r"CONH2-8-H primary 0: the SCF did not converge"):
            relabel(once, POOL)
    assert not (tmp_path / "out/task2-wb97x").exists()
    computed.clear()
    relabel(once, POOL)
    assert computed == [30, 30], "one frame of train and one of test_id"


def test_a_broken_label_file_is_named(computed, tmp_path):
    once = settings(tmp_path / "out")
    relabel(once, POOL)
    shutil.rmtree(tmp_path / "out")
    path = next(once.work_dir.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"\.npz is no label .* delete it"):
        relabel(once, POOL)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"test_ood": 11}, r"--subset test_ood=11: .* has 10 frames"),
        ({"train": 0}, r"--subset train=0; expected 1 or more"),
        ({"test_id": 0}, r"--subset test_id=0; expected 1 or more"),
    ],
)
def test_subsets_that_cannot_be_had(computed, tmp_path, counts, message):
    with pytest.raises(UsageError, match=message):
        relabel(settings(tmp_path / "out", frame_counts=counts), POOL)
    assert not computed


def test_the_level_of_the_source_is_refused(computed, tmp_path):
    with pytest.raises(UsageError, match="gfn2-xtb is the level of the source"):
        relabel(settings(tmp_path / "out", level=GFN2), POOL)


def test_a_subset_can_be_taken_on_to_a_third_level(computed, tmp_path):
    relabel(settings(tmp_path / "out"), POOL)
    onward = settings(
        tmp_path / "out", source=tmp_path / "out", source_level=WB97X, level=LEVELS["pbe-d3bj"], frame_counts={}
    )
    relabel(onward, POOL)
    names = [path.name.split("-")[0] for path in sorted((tmp_path / "out/task2-pbe").iterdir())]
    assert names == ["test_id", "test_ood", "train"]
    assert pq.read_table(tmp_path / "out/task2-pbe").num_rows == 36 + 36 + 48


def test_an_absent_task_is_named(computed, tmp_path):
    with pytest.raises(DataError, match=r"task2 holds no file train-\*\.parquet"):
        relabel(settings(tmp_path / "out", source=tmp_path), POOL)


@pytest.mark.parametrize("text", ["4", "test=4", "train=-1", "train=", "train=²"])
def test_texts_that_are_no_subset(text):
    with pytest.raises(UsageError, match="expected SPLIT=N"):
        parse_frame_counts([text])


def test_smaller_subsets_lie_in_larger_ones():
    mini = EDITIONS["mini"]
    found = [set(mini.frames("test_ood", count)) for count in range(11)]
    assert [len(each) for each in found] == list(range(11))
    assert all(small < large for small, large in pairwise(found))
    assert mini.frames("test_ood", 4) == (0, 4, 5, 9)
    assert mini.frames("test_ood") == tuple(range(10))


def test_the_command_line(computed, tmp_path, capsys):
    command = ["relabel", "mini", "--labels", "wb97x", "--task", "task2", "--out", str(tmp_path / "out")]
    assert main([*command, "--subset", "train=1", "validation=0", "test_id=1", "test_ood=1"]) == 0
    assert "wrote task2-wb97x in" in capsys.readouterr().out
    assert main(["relabel", "mini", "--labels", "b3lyp"]) == 2
    assert "unknown level of theory 'b3lyp'; known levels: gfn2-xtb pbe-d3bj" in capsys.readouterr().err

import functools
import gc
import re
import shutil
import tracemalloc
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_builders.certify.audit import certify
from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.cli import main
from dataset_builders.core.errors import ConvergenceError, DataError, IncompleteError, SetupError, UsageError
from dataset_builders.core.whole_folder import settle_all
from dataset_builders.engines.shares import parse_shard
from dataset_builders.engines.workers import Pool
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import METADATA_KEY, SCHEMA, read_metadata, with_metadata
from dataset_builders.relabel import relabelled_edition as module
from dataset_builders.relabel.certified_labels import relabel_edition
from dataset_builders.relabel.frames_to_label import (
    RelabelSettings,
    frames_to_label,
    parse_frame_counts,
    spooled_frames,
)
from dataset_builders.relabel.relabel_plan import MIN_PROBES, plan_relabel
from dataset_builders.relabel.relabelled_edition import check_worker, label_folder, missing_of, recipe_of, relabel
from dataset_builders.tasks.editions import EDITIONS, SPLITS
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.damaged_page import damage_page
from tests.dataset_builders.folder_moves import check_replacing
from tests.dataset_builders.synthetic_folder import edit_rows

WB97X = LEVELS["wb97x"]
COUNTS = {"train": 1, "validation": 0, "test_id": 1, "test_ood": 2}


@contextmanager
def one_thread():
    """One worker in this process, so that what is patched here is patched there."""
    with ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 1, window=2)


@functools.cache
def _gfn1(numbers, positions):
    shape = (len(numbers), 3)
    return cold_singlepoint("GFN1-xTB", np.frombuffer(numbers, np.uint8), np.frombuffer(positions).reshape(shape))


def gfn1(numbers, positions):
    """Energy and forces; computed once, since most tests take the same frames to another level."""
    energy, forces = _gfn1(np.array(numbers, np.uint8).tobytes(), np.array(positions, np.float64).tobytes())
    return energy, forces.copy()


@functools.cache
def shifts_of_elements():
    """What takes energies of GFN1-xTB to about those of wB97X, by atomic number: composition decides nearly all."""
    rows = pq.read_table(MINI_DIRECTORY / "task2-wb97x/train-00000-of-00001.parquet").to_pylist()
    elements = sorted({number for row in rows for number in row["atomic_numbers"]})
    counts = [[row["atomic_numbers"].count(number) for number in elements] for row in rows]
    differences = [row["energy"] - gfn1(row["atomic_numbers"], row["positions"])[0] for row in rows]
    return dict(zip(elements, np.linalg.lstsq(np.array(counts, float), differences, rcond=None)[0], strict=True))


def stand_in(numbers, positions):
    """Energy and forces in place of those of the functional."""
    energy, forces = gfn1(numbers, positions)
    return energy + sum(shifts_of_elements()[int(number)] for number in numbers), forces


threads_looked_at_once = functools.cache(module.require_one_thread)


@pytest.fixture
def computed(monkeypatch):
    """Puts GFN1-xTB, which is fast and obeys mechanics, in the place of the functional; lists what it was asked for."""
    pytest.importorskip("pyscf")
    asked = []

    def label(level, numbers, positions):
        asked.append(len(numbers))
        return stand_in(numbers, positions)

    # A look at the threads takes longer than the stand-in for a label.
    monkeypatch.setattr(module, "require_one_thread", threads_looked_at_once)
    monkeypatch.setattr(module, "compute_label", label)
    monkeypatch.setattr("dataset_builders.relabel.relabel_plan.compute_label", label)
    monkeypatch.setattr("dataset_builders.engines.choice.local_processes", lambda workers: one_thread())
    return asked


def toy_label(_, numbers, positions):
    """Springs to the origin."""
    return float(-40.0 * numbers.sum() + (positions.astype(float) ** 2).sum()), -2.0 * positions.astype(float)


@pytest.fixture
def springs(monkeypatch):
    """Puts springs in the place of a level of theory; lists the numbers of atoms that they were asked for."""
    asked = []

    def label(level, numbers, positions):
        asked.append(len(numbers))
        return toy_label(level, numbers, positions)

    monkeypatch.setattr(module, "compute_label", label)
    monkeypatch.setattr(module, "check_worker", lambda *_: None)
    return asked


@pytest.fixture
def toy(monkeypatch, springs):
    """Puts a label that costs nothing, in batches, in the place of the functional; lists what it was asked for."""
    monkeypatch.setattr(module, "label_metadata", lambda _: {"method": "toy"})
    monkeypatch.setattr(module, "label_versions", lambda _: {"toy": "1"})
    monkeypatch.setattr(module, "frames_per_batch", lambda _: 50)
    return springs


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
    relabel_edition(settings(tmp_path / "out"), one_thread)

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
        energy, forces = stand_in(np.array(row["atomic_numbers"]), np.array(row["positions"]).reshape(-1, 3))
        assert row["energy"] == energy
        np.testing.assert_array_equal(row["forces"], forces.astype(np.float32).ravel())
        labels = ("energy", "forces")
        assert {k: v for k, v in row.items() if k not in labels} == {k: v for k, v in before.items() if k not in labels}


def test_metadata_name_the_level_its_settings_and_the_subset(computed, tmp_path):
    relabel(settings(tmp_path / "out"), one_thread)
    schema = pq.read_schema(tmp_path / "out/task2-wb97x/train-00000-of-00001.parquet")
    metadata = read_metadata(schema)
    assert metadata["level_of_theory"]["method"] == "wB97X/6-31G(d)"
    assert metadata["level_of_theory"]["settings"]["basis"] == "6-31g*"
    assert set(metadata["level_of_theory"]["program"]) == {"pyscf", "dftd3"}
    assert metadata["subset"] == COUNTS
    assert metadata["edition"] == "mini"
    assert {"tblite", "pyscf"} <= set(metadata["versions"])


def test_the_folder_loads_without_the_split_that_was_left_out(computed, tmp_path):
    relabel_edition(settings(tmp_path / "out"), one_thread)
    loaded = load_dataset(str(tmp_path / "out"), "task2-wb97x", cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 36, "test_id": 36, "test_ood": 48}


def test_labels_beside_the_frames_of_the_first_level(computed, tmp_path):
    shutil.copytree(MINI_DIRECTORY, tmp_path / "mini", ignore=shutil.ignore_patterns("task?-*", "task[134]"))
    before = {path: path.read_bytes() for path in (tmp_path / "mini").rglob("*.parquet")}
    assert relabel_edition(settings(tmp_path / "mini", source=tmp_path / "mini"), one_thread).ok
    assert {path: path.read_bytes() for path in before} == before
    card = (tmp_path / "mini/README.md").read_text()
    assert "config_name: task2-wb97x" in card
    assert "wB97X/6-31G(d): Chai and Head-Gordon" in card


def test_nothing_is_computed_twice(computed, tmp_path):
    few = settings(tmp_path / "out", frame_counts={"train": 1, "validation": 0, "test_id": 1, "test_ood": 1})
    relabel(few, one_thread)
    assert len(computed) == 36 + 36 + 24
    computed.clear()
    more = settings(tmp_path / "out", work_dir=tmp_path / "another")
    relabel(more, one_thread)
    assert len(computed) == 24, "the frames that the folder lacked"
    computed.clear()
    shutil.rmtree(tmp_path / "out")
    relabel(more, one_thread)
    assert len(computed) == 36 + 36 + 24, "those that the second work folder lacked"


def test_small_molecules_come_first_where_that_is_asked_for(computed, tmp_path):
    once = settings(tmp_path / "out", cheapest_first=True)
    assert (np.diff(frames_to_label(once).n_atoms) >= 0).all()
    assert (np.diff(frames_to_label(settings(tmp_path / "out")).n_atoms) <= 0).all()
    relabel(once, one_thread)
    assert computed == sorted(computed)


def test_a_frame_that_fails_is_named_and_the_others_are_kept(computed, monkeypatch, tmp_path):
    def failing(level, numbers, positions):
        if len(numbers) == 30:
            raise ConvergenceError("the SCF did not converge")
        return gfn1(numbers, positions)

    once = settings(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(module, "compute_label", failing)
        with pytest.raises(IncompleteError, match=r"CONH2-8-H primary 0: the SCF did not converge"):
            relabel(once, one_thread)
    assert not (tmp_path / "out/task2-wb97x").exists()
    computed.clear()
    relabel(once, one_thread)
    assert computed == [30, 30], "one frame of train and one of test_id"


def label_files(once):
    return sorted(path for path in label_folder(once).iterdir())


def test_many_labels_share_a_file(toy, tmp_path):
    once = settings(tmp_path / "out")
    relabel(once, one_thread)
    (path,) = label_files(once)
    assert path.suffix == ".labels"
    shutil.rmtree(tmp_path / "out")
    toy.clear()
    relabel(once, one_thread)
    assert toy == []


@pytest.mark.parametrize("cut", [1, 50, 3_000])
def test_what_a_killed_worker_left_half_written_is_computed_again(toy, tmp_path, cut):
    once = settings(tmp_path / "out")
    relabel(once, one_thread)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out/task2-wb97x").iterdir()}
    shutil.rmtree(tmp_path / "out")
    (path,) = label_files(once)
    path.write_bytes(path.read_bytes()[:-cut])
    toy.clear()
    relabel(once, one_thread)
    assert 1 <= len(toy) <= 1 + cut // 200
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/task2-wb97x").iterdir()} == before
    assert len(label_files(once)) == 2, "nothing is written behind what is half written"


def test_a_broken_label_file_is_named(toy, tmp_path):
    once = settings(tmp_path / "out")
    relabel(once, one_thread)
    shutil.rmtree(tmp_path / "out")
    (path,) = label_files(once)
    content = bytearray(path.read_bytes())
    content[4_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"\.labels is damaged at byte [\d,]+, within its labels; delete it"):
        relabel(once, one_thread)


def test_a_work_folder_of_an_earlier_version_is_gone_on_from(computed, tmp_path):
    once = settings(tmp_path / "out")
    folder = label_folder(once)
    frames = frames_to_label(once)
    folder.mkdir(parents=True)
    old = {}
    with spooled_frames(once, frames) as frame:
        for index in range(0, len(frames), 2):
            each = frame(index)
            old[each.key] = energy, forces = stand_in(each.atomic_numbers, each.positions)
            np.savez(folder / f"{each.key.hex()}.npz", energy=energy, forces=forces)
    relabel(once, one_thread)
    assert len(computed) == len(frames) - len(old) == 60
    assert certify(tmp_path / "out").ok
    shutil.rmtree(tmp_path / "out")
    path = next(folder.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"\.npz is not a label .* delete it"):
        relabel(once, one_thread)


def test_the_files_are_those_that_one_table_of_labels_gives(toy, tmp_path):
    """However the rows are cut on their way: the bytes are those of a split that is written in one piece."""
    once = settings(tmp_path / "out", frame_counts={"train": 20, "test_ood": 5})
    relabel(once, one_thread)
    for path in sorted((tmp_path / "out/task2-wb97x").iterdir()):
        split = path.name.split("-")[0]
        source = pq.read_table(MINI_DIRECTORY / "task2" / path.name)
        count = once.frame_counts.get(split, len(set(source["frame"].to_pylist())))
        wanted = set(EDITIONS["mini"].frames(split, count))
        rows = [row for row in source.to_pylist() if row["frame"] in wanted]
        for row in rows:
            numbers = np.array(row["atomic_numbers"], np.uint8)
            positions = np.array(row["positions"], np.float32).reshape(-1, 3)
            energy, forces = toy_label(None, numbers, positions)
            row |= {"energy": energy, "forces": forces.astype(np.float32).ravel()}
        schema = SCHEMA.with_metadata({METADATA_KEY: pq.read_schema(path).metadata[METADATA_KEY]})
        expected = tmp_path / path.name
        reals = {"positions": "positions.list.element", "energy": "energy", "forces": "forces.list.element"}
        pq.write_table(
            pa.Table.from_pylist(rows, schema=schema),
            expected,
            compression="zstd",
            row_group_size=2_000,
            use_dictionary=[name for name in schema.names if name not in reals],
            column_encoding=dict.fromkeys(reals.values(), "BYTE_STREAM_SPLIT"),
            use_content_defined_chunking=True,
            write_page_index=True,
            write_page_checksum=True,
        )
        assert pq.read_table(path).equals(pq.read_table(expected)), split
        assert path.read_bytes() == expected.read_bytes(), split


def _peak_of_relabel(out, source):
    once = settings(out, source=source, frame_counts={})
    gc.collect()
    tracemalloc.start()
    try:
        relabel(once, one_thread)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(toy, monkeypatch, tmp_path):
    monkeypatch.setattr("dataset_builders.relabel.frames_to_label.ROWS_AT_A_TIME", 50)
    monkeypatch.setattr("dataset_builders.folder.split_writing.ROWS_PER_GROUP", 50)
    peaks = {}
    for factor in (1, 2, 16):
        source = write_many(tmp_path / f"{factor}", factor * 100)
        peaks[factor] = _peak_of_relabel(tmp_path / f"out{factor}", source)
        shutil.rmtree(tmp_path / f"out{factor}")
    n_more = 4 * 14 * 100
    # The list of frames, forty bytes each, passes through some copies; a row as Python objects takes over 5,000.
    assert (peaks[16] - peaks[2]) / n_more < 200, peaks
    relabelled = label_files(settings(tmp_path / "out16"))
    assert len(relabelled) <= 3


def write_many(directory, n_rows):
    """A folder with frames of one molecule of 20 atoms."""
    (directory / "task2").mkdir(parents=True)
    row = pq.read_table(MINI_DIRECTORY / "task2/train-00000-of-00001.parquet")
    (row,) = (row.filter(pc.equal(row["n_atoms"], 20)).slice(0, 1)).to_pylist()
    generator = np.random.default_rng(0)
    for split in SPLITS:
        rows = [row | {"positions": generator.normal(size=60).astype(np.float32), "frame": i} for i in range(n_rows)]
        table = pa.Table.from_pylist(rows, schema=with_metadata({"edition": "mini"}))
        pq.write_table(table, directory / "task2" / f"{split}-00000-of-00001.parquet", row_group_size=50)
    return directory


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
        relabel(settings(tmp_path / "out", frame_counts=counts), one_thread)
    assert not computed


def test_the_level_of_the_source_is_refused(computed, tmp_path):
    with pytest.raises(UsageError, match="gfn2-xtb is the level of theory of the source"):
        relabel(settings(tmp_path / "out", level=GFN2), one_thread)


def test_a_subset_can_be_taken_on_to_a_third_level(computed, tmp_path):
    relabel(settings(tmp_path / "out"), one_thread)
    onward = settings(
        tmp_path / "out", source=tmp_path / "out", source_level=WB97X, level=LEVELS["pbe-d3bj"], frame_counts={}
    )
    relabel(onward, one_thread)
    names = [path.name.split("-")[0] for path in sorted((tmp_path / "out/task2-pbe").iterdir())]
    assert names == ["test_id", "test_ood", "train"]
    assert pq.read_table(tmp_path / "out/task2-pbe").num_rows == 36 + 36 + 48


def test_an_absent_task_is_named(computed, tmp_path):
    with pytest.raises(DataError, match=r"task2 has no file train-\*\.parquet"):
        relabel(settings(tmp_path / "out", source=tmp_path), one_thread)


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
    assert main(["relabel", "mini", "--labels", "b3lyp", "--out", str(tmp_path / "out")]) == 2
    assert "unknown level of theory 'b3lyp'; known levels: gfn2-xtb pbe-d3bj" in capsys.readouterr().err


def test_the_installed_edition_is_left_as_it_is(capsys):
    assert main(["relabel", "mini", "--labels", "pbe-d3bj"]) == 2
    assert "would change the edition installed with the package; name a folder with --out" in (capsys.readouterr().err)


def test_shards_label_each_frame_once_and_merge_to_the_same_bytes(computed, tmp_path, capsys):
    relabel(settings(tmp_path / "at once/out", work_dir=tmp_path / "work of one"), one_thread)
    computed.clear()
    command = ["relabel", "mini", "--labels", "wb97x", "--task", "task2", "--out", str(tmp_path / "out")]
    command += ["--subset", *(f"{split}={count}" for split, count in COUNTS.items())]
    assert main([*command, "--shard", "1/2"]) == 0
    assert f"shard 1/2 is done: its {len(computed)} labels are in" in capsys.readouterr().out
    assert 50 < len(computed) < 70
    assert not (tmp_path / "out").exists()
    assert main([*command, "--merge"]) == 5
    assert f"{120 - len(computed)} of 120 labels are missing from" in capsys.readouterr().err
    assert main([*command, "--shard", "2/2"]) == 0
    assert len(computed) == 120
    assert main([*command, "--merge"]) == 0
    assert len(computed) == 120
    for path in (tmp_path / "at once/out/task2-wb97x").iterdir():
        assert path.read_bytes() == (tmp_path / "out/task2-wb97x" / path.name).read_bytes()


def test_a_plan_counts_and_keeps_what_it_times(computed, tmp_path):
    plan = plan_relabel(settings(tmp_path / "out"), one_thread)
    probes = len(plan.rate.timings)
    assert probes == MIN_PROBES
    labelled = len(set(plan.rate.timings))
    assert len(computed) == 2 * labelled, "each after a molecule of hydrogen"
    assert (plan.together.n_frames, plan.together.n_missing) == (120, 120 - labelled)
    left = missing_of(frames_to_label(settings(tmp_path / "out")), settings(tmp_path / "out")).costs.sum()
    assert plan.hours == pytest.approx(left * plan.rate.cpu_seconds / 3600)
    text = plan.text()
    assert re.search(
        rf"^config +frames +done +to do +core-hours +time, 1 worker +MB\n.*\ntask2-wb97x +120 +{labelled} +", text
    )
    assert "labels, which are kept, of molecules of" in text
    assert not (tmp_path / "out").exists()
    computed.clear()
    relabel(settings(tmp_path / "out"), one_thread)
    assert len(computed) == 120 - labelled
    assert "no label is missing" in plan_relabel(settings(tmp_path / "out"), one_thread).text()


def test_gpu_hours_count_where_a_gpu_computes(computed, monkeypatch, tmp_path):
    monkeypatch.setattr("dataset_builders.relabel.relabel_plan.uses_gpu", lambda: True)
    plan = plan_relabel(settings(tmp_path / "out"), one_thread)
    assert "GPU-hours" in plan.text()
    assert plan.hours == pytest.approx(plan.together.missing_cost * plan.rate.seconds / 3600)


def test_a_frame_whose_worker_dies_is_named_and_the_others_are_labelled(computed, tmp_path):
    class Dying(Executor):
        def submit(self, function, batch):
            future = Future()
            if batch.frames[0].name == "OH-2-OH primary 0":
                future.set_exception(BrokenProcessPool())
            else:
                future.set_result(function(batch))
            return future

    @contextmanager
    def open_pool():
        yield Pool(Dying(), 1)

    once = settings(tmp_path / "out")
    with pytest.raises(IncompleteError, match=r"1 of 120 frames failed:\n  OH-2-OH primary 0: its worker died 3 times"):
        relabel(once, open_pool)
    missing = missing_of(frames_to_label(once), once)
    assert [missing.name(index) for index in range(len(missing))] == ["OH-2-OH primary 0"]


@pytest.mark.parametrize("cause", ["dies", "raises"])
def test_one_frame_of_a_batch_costs_no_other_its_label(toy, monkeypatch, tmp_path, cause):
    culprits = ("OH-2-OH primary 0", "CN-4-CN primary 5")

    class Dying(Executor):
        def submit(self, function, batch):
            future = Future()
            if cause == "dies" and any(frame.name in culprits for frame in batch.frames):
                future.set_exception(BrokenProcessPool())
            else:
                future.set_result(function(batch))
            return future

    def label(level, numbers, positions):
        if cause == "raises" and any(np.array_equal(positions, each) for each in bad):
            raise ValueError("singular matrix")
        return toy_label(level, numbers, positions)

    @contextmanager
    def open_pool():
        yield Pool(Dying(), 1, (BrokenProcessPool,), window=2)

    once = settings(tmp_path / "out")
    frames = frames_to_label(once)
    with spooled_frames(once, frames) as frame:
        bad = [frame(index).positions for index in range(len(frames)) if frames.name(index) in culprits]
    assert len(bad) == 2
    monkeypatch.setattr(module, "compute_label", label)
    with pytest.raises(IncompleteError, match=r"2 of 120 frames failed:\n") as error:
        relabel(once, open_pool)
    message = "its worker died 3 times" if cause == "dies" else "ValueError: singular matrix"
    assert all(f"  {name}: {message}" in str(error.value) for name in culprits)
    missing = missing_of(frames, once)
    assert {missing.name(index) for index in range(len(missing))} == set(culprits)


def test_workers_that_cannot_do_the_work_are_told_apart(computed, tmp_path):
    folder = label_folder(settings(tmp_path / "out"))
    with pytest.raises(SetupError, match="does not see the work folder"):
        check_worker(WB97X, folder)
    folder.mkdir(parents=True)
    check_worker(WB97X, folder)
    other = folder.with_name("wb97x-0123456789ab")
    other.mkdir()
    with pytest.raises(
        SetupError, match=r"would compute wb97x labels with pyscf .*, which differs from the programs of the command"
    ):
        check_worker(WB97X, other)


def test_stopped_between_two_moves_or_refused_one_no_configuration_is_lost(toy, tmp_path, monkeypatch):
    once = settings(tmp_path / "out/data", work_dir=tmp_path / "work")
    relabel(once, one_thread)

    def write():
        relabel(once, one_thread)

    check_replacing(monkeypatch, write, tmp_path / "out/data/task2-wb97x", lambda: settle_all(tmp_path / "out/data"))


def contents_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def copied_mini(folder, *configs):
    for config in configs:
        shutil.copytree(MINI_DIRECTORY / config, folder / config)
    return folder


WAYS = {
    "compute": lambda once: relabel(once, one_thread),
    "plan": lambda once: plan_relabel(once, one_thread),
    "shard": lambda once: module.make_labels(once, one_thread, parse_shard("1/2")),
    "merge": module.write_configs,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_configuration_that_would_lose_frames_is_not_replaced(toy, tmp_path, way):
    out, another = tmp_path / "out", tmp_path / "another/out"
    relabel(settings(out), one_thread)
    fewer = {"train": 1, "validation": 0, "test_id": 1, "test_ood": 1}
    relabel(settings(another, frame_counts=fewer, work_dir=tmp_path / "work"), one_thread)
    before, asked = contents_of(out), len(toy)
    with pytest.raises(
        UsageError,
        match=r"task2-wb97x has 120 frames, and the task2-wb97x that would replace it 96, without 24 of the former "
        r"\(the first: \S+ primary 5 of test_ood\); expected all of them\. Name another folder with --out",
    ):
        WAYS[way](settings(out, frame_counts=fewer, work_dir=tmp_path / "empty"))
    assert len(toy) == asked, "nothing was computed"
    assert contents_of(out) == before


def test_of_several_tasks_none_is_replaced_if_one_would_lose_frames(toy, tmp_path):
    out = tmp_path / "out"
    relabel(settings(out, tasks=(TASKS["task3"],)), one_thread)
    before = contents_of(out)
    both = settings(out, tasks=(TASKS["task2"], TASKS["task3"]), frame_counts=COUNTS | {"test_ood": 1})
    with pytest.raises(UsageError, match=r"task3-wb97x has \d+ frames, and the task3-wb97x that would replace it"):
        relabel(both, one_thread)
    assert contents_of(out) == before


def test_a_built_configuration_is_not_replaced_by_a_part_of_it(tmp_path, capsys):
    folder = copied_mini(tmp_path / "mini", "task2", "task2-wb97x")
    before = contents_of(folder)
    assert main(["relabel", str(folder), "--labels", "gfn2-xtb", "--from", "wb97x", "--task", "task2"]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "task2 has 1,680 frames, and the task2 that would replace it 276, without 1,404 of the former" in shown
    assert contents_of(folder) == before


def test_labels_of_another_method_are_not_replaced(toy, tmp_path):
    out = copied_mini(tmp_path / "out", "task2-wb97x")
    before = contents_of(out)
    with pytest.raises(UsageError, match=r"task2-wb97x has labels of wB97X/6-31G\(d\), which new ones of toy would"):
        relabel(settings(out, frame_counts={}), one_thread)
    assert not toy
    assert contents_of(out) == before


def test_frames_of_another_geometry_are_not_the_same_frames(toy, tmp_path):
    relabel(settings(tmp_path / "out"), one_thread)
    source = copied_mini(tmp_path / "mini", "task2")

    def move(rows):
        rows[0]["positions"][0] += 0.01

    edit_rows(source / "task2/train-00000-of-00001.parquet", move)
    with pytest.raises(UsageError, match=r"has 120 frames, .* it 120, without 1 of the former"):
        relabel(settings(tmp_path / "out", source=source), one_thread)


def test_more_frames_and_other_tasks_are_added(toy, tmp_path):
    relabel(settings(tmp_path / "out", frame_counts=COUNTS | {"test_ood": 1}), one_thread)
    relabel(settings(tmp_path / "out", tasks=(TASKS["task3"],)), one_thread)
    more = settings(tmp_path / "out", frame_counts=COUNTS | {"validation": 1}, tasks=(TASKS["task2"], TASKS["task3"]))
    relabel(more, one_thread)
    once = contents_of(tmp_path / "out")
    assert pq.read_table(tmp_path / "out/task2-wb97x").num_rows == 36 + 36 + 36 + 48
    toy.clear()
    relabel(more, one_thread)
    assert not toy
    assert contents_of(tmp_path / "out") == once


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_page_of_the_source_is_noticed(toy, tmp_path, way):
    source = copied_mini(tmp_path / "mini", "task2")
    damage_page(source / "task2/test_id-00000-of-00001.parquet", "positions")
    with pytest.raises(
        DataError,
        match=r"task2/test_id-\S+\.parquet cannot be read as Parquet .*CRC checksum .*; build or download it again",
    ):
        WAYS[way](settings(tmp_path / "out", source=source))
    assert not toy
    assert not (tmp_path / "out").exists()


def test_a_damaged_page_of_labels_to_reuse_is_noticed(toy, tmp_path):
    relabel(settings(tmp_path / "out"), one_thread)
    damage_page(tmp_path / "out/task2-wb97x/train-00000-of-00001.parquet", "forces")
    onward = settings(tmp_path / "out", work_dir=tmp_path / "another", tasks=(TASKS["task3"],))
    with pytest.raises(
        DataError, match=r"task2-wb97x/train-\S+ cannot be read as Parquet .*CRC checksum .*; restore it, or move"
    ):
        relabel(onward, one_thread)


def test_a_task_that_is_named_twice_is_labelled_once(computed, tmp_path, capsys):
    command = ["relabel", "mini", "--labels", "wb97x", "--task", "task2", "--task", "task2", "task2"]
    command += ["--out", str(tmp_path / "out"), "--subset", "train=1", "validation=0", "test_id=1", "test_ood=1"]
    assert main([*command, "--plan"]) == 0
    assert capsys.readouterr().out.count("task2-wb97x") == 1
    assert main(command) == 0
    assert "wrote task2-wb97x in" in capsys.readouterr().out


def write_imported(folder, method):
    """The frames of task2, as if they had been imported with labels of a method."""
    copied_mini(folder, "task2")
    for path in (folder / "task2").iterdir():
        metadata = read_metadata(pq.read_schema(path)) | {"level_of_theory": {"method": method}}
        pq.write_table(pq.read_table(path).replace_schema_metadata(with_metadata(metadata).metadata), path)
    return folder


def test_imported_labels_are_not_said_to_be_of_the_level_whose_names_they_have(tmp_path):
    source = write_imported(tmp_path / "mini", "PBE0/def2-SVP")
    with pytest.raises(
        UsageError,
        match=r"--labels gfn2-xtb: the new configuration would take the name of its source, task2, whose labels are "
        r"PBE0/def2-SVP; expected a level with a name of its own",
    ):
        relabel(settings(tmp_path / "out", source=source, level=GFN2), one_thread)


def to_gfn2(out, **changes):
    """The frames of task2-wb97x with labels of GFN2-xTB, which are those of task2."""
    return settings(out, source_level=WB97X, level=GFN2, frame_counts={}, **changes)


def another_tblite(patch):
    patch.setattr(module, "label_versions", lambda level: {"tblite": "0.0.1"})


def test_labels_of_two_versions_of_tblite_lie_apart(springs, monkeypatch, tmp_path):
    once = to_gfn2(tmp_path / "out")
    relabel(once, one_thread)
    count, folder, recipe = len(springs), label_folder(once), recipe_of(GFN2)
    another_tblite(monkeypatch)
    assert label_folder(once) != folder
    assert recipe_of(GFN2) != recipe
    springs.clear()
    relabel(once, one_thread)
    assert len(springs) == count
    metadata = read_metadata(pq.read_schema(tmp_path / "out/task2/train-00000-of-00001.parquet"))
    assert metadata["versions"]["tblite"] == "0.0.1"


def test_a_worker_with_another_tblite_is_refused(monkeypatch, tmp_path):
    folder = label_folder(to_gfn2(tmp_path / "out"))
    folder.mkdir(parents=True)
    check_worker(GFN2, folder)
    another_tblite(monkeypatch)
    with pytest.raises(SetupError, match=r"would compute gfn2-xtb labels with tblite 0\.0\.1, which differs"):
        check_worker(GFN2, folder)


def test_labels_of_an_edition_are_reused_by_the_tblite_that_made_it(springs, monkeypatch, tmp_path):
    out = copied_mini(tmp_path / "out", "task2")
    stated = read_metadata(pq.read_schema(out / "task2/train-00000-of-00001.parquet"))["versions"]["tblite"]
    once = to_gfn2(out)
    monkeypatch.setattr(module, "label_versions", lambda level: {"tblite": stated})
    assert not len(missing_of(frames_to_label(once), once))
    another_tblite(monkeypatch)
    assert len(missing_of(frames_to_label(once), once)) == 276


def test_the_folder_of_kept_labels_keeps_its_name(monkeypatch):
    (kept,) = (MINI_DIRECTORY.parent / "labels").iterdir()
    level = LEVELS["wb97m-d3bj"]
    stated = read_metadata(pq.read_schema(next(kept.glob("*.parquet"))))["level_of_theory"]
    monkeypatch.setattr("dataset_builders.chemistry.labels.label_versions", lambda _: stated["program"])
    assert recipe_of(level).name == kept.name == "wb97m-d3bj-5f030e23f264"
    assert recipe_of(level).level_of_theory == stated

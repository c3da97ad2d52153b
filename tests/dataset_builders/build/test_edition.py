import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.build import work_units as work
from dataset_builders.build.edition import build_edition, merge_edition, require_same_edition
from dataset_builders.build.edition_folder import write_repository
from dataset_builders.build.fanout import make_units, missing_units
from dataset_builders.build.unit_store import RECORD_NAME, check_claim, claim_work_dir
from dataset_builders.build.work_units import WorkUnit, make_unit, plan_units, read_unit, write_table
from dataset_builders.core.errors import ConvergenceError, IncompleteError, UsageError
from dataset_builders.engines.workers import Pool
from dataset_builders.folder.provenance import IMPORTED
from dataset_builders.folder.schema import SCHEMA, read_metadata, with_metadata
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.words import parse_word
from tests.dataset_builders.small_build import SMALL_TASK, small_settings


@contextmanager
def thread_pool(workers):
    with ThreadPoolExecutor(workers) as executor:
        yield Pool(executor, workers)


def digests(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*.parquet"))
    }


def test_a_build_writes_every_split_in_the_schema(small_build):
    settings, out = small_build
    rows = {}
    for split in SPLITS:
        (path,) = (out / "task1").glob(f"{split}-*.parquet")
        table = pq.read_table(path)
        assert table.schema.equals(SCHEMA)
        metadata = read_metadata(table.schema)
        assert metadata["units"] == {"positions": "angstrom", "energy": "eV", "forces": "eV/angstrom"}
        assert metadata["level_of_theory"]["method"] == "GFN2-xTB"
        assert metadata["seed"] == settings.seed
        rows[split] = table.num_rows
    assert rows == {"train": 10, "validation": 10, "test_id": 10, "test_ood": 5}


def test_trajectories_and_bursts_stay_in_their_splits(small_build):
    _, out = small_build
    frames = {
        split: pq.read_table(next((out / "task1").glob(f"{split}-*.parquet")), columns=["trajectory", "frame"])
        for split in SPLITS
    }
    assert set(frames["train"]["trajectory"].to_pylist()) == {"primary"}
    assert set(frames["test_id"]["trajectory"].to_pylist()) == {"secondary"}
    assert set(frames["validation"]["frame"].to_pylist()) == set(range(5))
    assert set(frames["test_id"]["frame"].to_pylist()) == set(range(5, 10))


def test_a_killed_build_goes_on_to_the_same_bytes(small_build, tmp_path):
    _, uninterrupted = small_build
    command = [sys.executable, "-m", "tests.dataset_builders.small_build", str(tmp_path), "--workers"]
    process = subprocess.Popen([*command, "2"], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "work").glob("*/*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "the build ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*/*.parquet")}
    subprocess.run([*command, "1"], check=True, stderr=subprocess.DEVNULL, timeout=200)
    assert digests(tmp_path / "out") == digests(uninterrupted)
    assert done.items() <= {path: path.stat().st_mtime_ns for path in done}.items()


def test_a_damaged_unit_is_made_again(small_build, tmp_path):
    settings = small_settings(tmp_path)
    unit = WorkUnit(0, 1, "primary", parse_word("F-1-H"))
    make_unit(unit, tmp_path, settings.seed)
    whole = unit.path(tmp_path).read_bytes()
    unit.path(tmp_path).write_bytes(whole[: len(whole) // 2])
    assert read_unit(unit, tmp_path) is None
    assert unit in missing_units(settings)
    make_unit(unit, tmp_path, settings.seed)
    assert unit.path(tmp_path).read_bytes() == whole


def test_a_unit_with_a_changed_bit_is_refused_or_gives_the_same_frames(small_build, tmp_path):
    settings, _ = small_build
    unit = WorkUnit(0, 1, "primary", parse_word("F-1-H"))
    frames, whole = read_unit(unit, settings.work_dir), unit.path(settings.work_dir).read_bytes()
    path = unit.path(tmp_path)
    path.parent.mkdir()
    refused = 0
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << place // 7 % 8
        path.write_bytes(changed)
        found = read_unit(unit, tmp_path)
        assert found is None or found.equals(frames, check_metadata=True), place
        refused += found is None
    assert refused > len(whole) / 7 / 2


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_unit_whose_rows_differ_from_its_checksum_is_refused(small_build, tmp_path, column):
    """A unit whose every page is whole, with a value of another."""
    settings, _ = small_build
    unit = WorkUnit(0, 1, "primary", parse_word("F-1-H"))
    stored = pq.read_table(unit.path(settings.work_dir))
    rows = stored.to_pylist()
    value = rows[2][column]
    rows[2][column] = value[:-1] if isinstance(value, str | list) and value else "x" if value == "" else value + 1
    write_table(pa.Table.from_pylist(rows, stored.schema), unit.path(tmp_path))
    assert read_unit(unit, tmp_path) is None


def test_a_unit_of_a_version_without_checksums_is_used(small_build, tmp_path):
    settings, _ = small_build
    unit = WorkUnit(0, 1, "primary", parse_word("F-1-H"))
    frames = read_unit(unit, settings.work_dir)
    unit.path(tmp_path).parent.mkdir()
    pq.write_table(frames, unit.path(tmp_path), compression="zstd")
    assert b"sha256" not in unit.path(tmp_path).read_bytes()
    assert read_unit(unit, tmp_path).equals(frames, check_metadata=True)


def test_units_with_and_without_checksums_give_the_same_bytes(small_build, tmp_path):
    settings, reference = small_build
    older = small_settings(tmp_path / "work")
    for number, unit in enumerate(plan_units(settings.tasks, settings.edition)):
        frames, path = read_unit(unit, settings.work_dir), unit.path(older.work_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            pq.write_table(frames, path, compression="zstd")
        else:
            path.write_bytes(unit.path(settings.work_dir).read_bytes())
    write_repository(older, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(reference)


@pytest.mark.parametrize("claim", [claim_work_dir, check_claim])
def test_units_without_a_record_are_not_taken_for_those_of_any_seed(tmp_path, claim):
    claim_work_dir(tmp_path, seed=1)
    make_unit(WorkUnit(0, 1, "primary", parse_word("F-1-H")), tmp_path, 1)
    (tmp_path / RECORD_NAME).unlink()
    with pytest.raises(UsageError, match=r"contains units but no build\.json.*expected both\. Choose another --work"):
        claim(tmp_path, 7)
    assert not (tmp_path / RECORD_NAME).exists()


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", r"cannot be read \(Expecting value"),
        (b'{"seed": 1', r"cannot be read \(Expecting"),
        (b"\xff{}", r"cannot be read \('utf-8' codec"),
        (b"[" * 100_000, "cannot be read"),
        (b"[1]", r"is \[1\]"),
        (b"null", "is None"),
    ],
)
def test_a_damaged_record_of_a_work_folder_is_named(tmp_path, content, seen):
    (tmp_path / RECORD_NAME).write_bytes(content)
    with pytest.raises(UsageError, match=f"{RECORD_NAME} of the work folder {seen}.*Choose another --work folder"):
        claim_work_dir(tmp_path, 1)
    assert (tmp_path / RECORD_NAME).read_bytes() == content


def no_workers():
    raise AssertionError("a refused build computes nothing")


@pytest.mark.parametrize(
    ("config", "metadata", "seen"),
    [
        ("task2", {"edition": "mini"}, "is of edition 'mini', but this build is of edition '5/5/5/5'"),
        ("task2", {"edition": 5}, "is of edition 5, but"),
        ("task4", {"edition": IMPORTED}, "was imported, but"),
        ("task4-wb97m", {"edition": IMPORTED}, "was imported, but"),
    ],
)
def test_frames_of_another_edition_or_origin_are_refused_before_anything_is_computed(tmp_path, config, metadata, seen):
    settings = small_settings(tmp_path / "work")
    path = tmp_path / "out" / config / "train-00000-of-00001.parquet"
    write_table(with_metadata(metadata).empty_table(), path)
    for refused in (
        lambda: build_edition(settings, tmp_path / "out", no_workers),
        lambda: merge_edition(settings, tmp_path / "out"),
    ):
        with pytest.raises(UsageError, match=f"out contains {config}, which {seen}.*Choose another --out"):
            refused()
    assert not settings.work_dir.exists()
    assert list((tmp_path / "out").rglob("*.parquet")) == [path]


@pytest.mark.parametrize(
    ("config", "metadata"),
    [("task1", {"edition": "mini"}), ("task2", {"edition": "5/5/5/5"}), ("task1-wb97m", {"edition": "mini"})],
)
def test_frames_of_its_edition_of_another_level_or_to_be_replaced_do_not_stop_a_build(tmp_path, config, metadata):
    out = tmp_path / "out"
    write_table(with_metadata(metadata).empty_table(), out / config / "train-00000-of-00001.parquet")
    require_same_edition(small_settings(tmp_path / "work"), out)


def test_another_seed_is_another_set_of_frames_and_needs_another_folder(tmp_path):
    unit = WorkUnit(0, 1, "primary", parse_word("F-1-H"))
    claim_work_dir(tmp_path / "one", seed=1)
    make_unit(unit, tmp_path / "one", 1)
    make_unit(unit, tmp_path / "two", 2)
    assert read_unit(unit, tmp_path / "one")["positions"] != read_unit(unit, tmp_path / "two")["positions"]
    claim_work_dir(tmp_path / "one", seed=1)
    with pytest.raises(UsageError, match="contains frames with seed = 1; this build needs 2"):
        claim_work_dir(tmp_path / "one", seed=2)


def test_a_failed_attempt_is_retried_with_a_new_seed_and_reported(tmp_path, monkeypatch):
    from dataset_builders.chemistry import sampling as geometries

    real, calls = geometries.embed, []

    def fails_once(smiles, random_seed):
        calls.append(random_seed)
        if len(calls) == 1:
            raise ConvergenceError("ETKDGv3 found no conformer")
        return real(smiles, random_seed)

    monkeypatch.setattr(geometries, "embed", fails_once)
    report = make_unit(WorkUnit(0, 1, "primary", parse_word("F-1-H")), tmp_path, 0)
    assert report.error is None
    assert report.retries == ("F-1-H primary burst 0: ETKDGv3 found no conformer",)
    assert len(set(calls)) == 2


def test_a_molecule_that_keeps_failing_fails_the_build_by_name_and_the_others_are_kept(tmp_path, monkeypatch):
    real = work.sample_burst

    def fails_for_fluoromethane(smiles, molecule_id, *rest):
        if molecule_id == "F-1-H":
            raise ConvergenceError("SCF not converged")
        return real(smiles, molecule_id, *rest)

    monkeypatch.setattr(work, "sample_burst", fails_for_fluoromethane)
    settings = small_settings(tmp_path / "work")
    claim_work_dir(settings.work_dir, settings.seed)
    units = plan_units(settings.tasks, settings.edition)
    seen = []
    with pytest.raises(
        IncompleteError, match=r"1 of 5 units failed:\n  F-1-H primary bursts 0 to 0: SCF not converged"
    ):
        make_units(units, settings, lambda: thread_pool(2), seen.append)
    assert len(seen) == 5
    assert missing_units(settings) == [WorkUnit(0, 1, "primary", parse_word("F-1-H"))]
    with pytest.raises(IncompleteError, match="F-1-H primary bursts 0 to 0 is missing"):
        write_repository(settings, tmp_path / "out")


def test_units_hold_the_first_bursts_first():
    units = plan_units((SMALL_TASK,), small_settings(None).edition)
    assert [unit.first_burst for unit in units] == sorted(unit.first_burst for unit in units)
    assert {(unit.trajectory, unit.end_burst) for unit in units if unit.molecule_id == "OH-1-H"} == {
        ("primary", 1),
        ("secondary", 2),
    }

"""`python -m dataset_builders build` as people call it, on a slice of two small molecules."""

import pyarrow.parquet as pq
import pytest

from dataset_builders.certify.audit import certify
from dataset_builders.cli import main

SLICE = ("--edition", "5/5/5/5", "--task", "task1", "--molecule", "H-2-H", "F-2-H")


def build(capsys, *arguments):
    code = main(["build", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def folder_bytes(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def slice_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("slice") / "out"
    assert main(["build", *SLICE, "--out", str(out), "--workers", "1"]) == 0
    return out


def test_shards_then_merge_is_the_same_as_a_build(slice_folder, tmp_path, capsys):
    work, out = str(tmp_path / "work"), str(tmp_path / "out")
    code, text, _ = build(capsys, *SLICE, "--work", work, "--shard", "1/2", "--workers", "1")
    assert code == 0
    assert text.startswith("shard 1/2 is done: its 2 units are in ")
    assert "with --merge and --out instead of --shard" in text
    code, _, error = build(capsys, *SLICE, "--work", work, "--out", out, "--merge")
    assert code == 5
    assert "2 of 4 units are missing from " in error
    assert not (tmp_path / "out").exists()
    assert build(capsys, *SLICE, "--work", work, "--shard", "2/2", "--workers", "1")[0] == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.parquet")}
    assert build(capsys, *SLICE, "--work", work, "--out", out, "--merge")[0] == 0
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.parquet")}
    assert folder_bytes(tmp_path / "out") == folder_bytes(slice_folder)


def test_a_slice_says_what_is_missing_and_is_not_certified(slice_folder, tmp_path, capsys):
    work = str(slice_folder.with_name("out.work"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("the card of a whole edition that was here before")
    code, text, _ = build(capsys, *SLICE, "--work", work, "--out", str(out), "--merge")
    assert code == 0
    assert "task1 is a slice of 2 of 70 molecules, without H-3-H, H-4-H, OH-2-H," in text
    assert "no row, file or energy deviates\n\nNOT certified\n\nwrote" in text
    assert "a slice, which has no card and cannot be published" in text
    assert {path.name for path in out.iterdir()} == {"task1"}
    report = certify(slice_folder)
    assert (report.ok, report.is_sound_slice, report.problems) == (False, True, ())
    assert report.certificate.summaries[0].n_rows == {"train": 10, "validation": 10, "test_id": 10, "test_ood": 0}
    assert main(["certify", str(slice_folder)]) == 3


def test_a_slice_that_lacks_frames_of_its_own_is_a_problem(slice_folder, tmp_path):
    import shutil

    folder = shutil.copytree(slice_folder, tmp_path / "out")
    path = next(folder.glob("task1/train-*.parquet"))
    pq.write_table(pq.read_table(path).slice(0, 9), path)
    report = certify(folder)
    assert not report.is_sound_slice
    assert len(report.problems) == 1
    assert "F-2-H" in str(report.problems[0])


def test_publish_refuses_a_slice(slice_folder, hub, capsys):
    hub.add_user("ann")
    hub.log_in("ann")
    assert main(["publish", str(slice_folder), "ann/slice"]) == 3
    assert "task1 is a slice of 2 of 70 molecules" in capsys.readouterr().err
    assert hub.log == []


def test_a_plan_writes_nothing(slice_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dataset_builders.build.build_plan.MIN_PROBES", 2)
    work = str(slice_folder.with_name("out.work"))
    code, text, _ = build(capsys, *SLICE, "--work", work, "--plan", "--workers", "1")
    assert code == 0
    assert text.splitlines()[2].split() == ["task1", "2", "30", "4", "0", "0", "-", "0.0"]
    assert build(capsys, "--plan", "--out", str(tmp_path / "out"), *SLICE[:-1], "--workers", "1")[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "build needs --out DIR, the data-set folder to write"),
        (("--work", "work"), "build needs --out DIR"),
        (
            ("--out", "hf://datasets/org/name"),
            "upload the finished folder to the Hub with `python -m dataset_builders publ",
        ),
        (("--out", "out", "--work", "s3://bucket"), "--work s3://bucket: expected a folder"),
        (
            ("--out", "out", "--molecule", "H-2-OH"),
            "--molecule H-2-OH: no molecule of task1, task2, task3, task4 has this",
        ),
        (("--out", "out", "--task", "task1", "--molecule", "OH-2-OH"), "no molecule of task1 has this id"),
        (("--out", "out", "--shard", "3/2"), "--shard '3/2'; expected NUMBER/COUNT"),
        (("--out", "out", "--executor", "ray"), "unknown executor 'ray'"),
    ],
)
def test_bad_options_are_named(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, error = build(capsys, *arguments)
    assert code == 2
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_stages_exclude_each_other(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["build", "--out", "out", "--plan", "--merge"])
    assert "not allowed with argument" in capsys.readouterr().err

"""Formats and names: what is read is the file that was named, to its last byte."""

import bz2
import gzip
import os
import pickle
import sqlite3

import numpy as np
import pytest
from ase.db import connect
from ase.io import write
from ase.io.trajectory import Trajectory

from dataset_builders.core.errors import DataError
from dataset_builders.importing.trajectory_files import atoms_of_file
from tests.dataset_builders.trajectory_text import frame_text, images

TEXT = "".join(frame_text(f"Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 step={step}") for step in range(5))


def compressed(content: bytes) -> bytes:
    """Without the time of day, which would name the same case differently in two processes."""
    return gzip.compress(content, mtime=0)


def steps(path, stride=1):
    return [atoms.info["step"] for atoms in atoms_of_file(path, stride)]


NAMES = [
    "a@300K.extxyz", "a.extxyz@:3", "a.extxyz@1", "@", "-", "a b.xyz", "a#1.xyz", "*.xyz", "[a]?.xyz", "ä 水.xyz",
    "POSCAR-1.xyz", "OUTCAR", "postgres.xyz", "mysql", "x.aselmdb", "a.json", "a.traj", "a.db", "a.pwo", "noending",
    "a%41.xyz", "file:a.xyz", "a\nb.xyz",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    """Beside it lies what ASE would have read in its place."""
    monkeypatch.chdir(tmp_path)
    for other in {"a.extxyz", "a", "A.xyz"} - {name}:
        (tmp_path / other).write_text(TEXT.replace("step=", "step=100"))
    path = tmp_path / name
    path.write_text(TEXT)
    assert steps(path) == [0, 1, 2, 3, 4]
    assert steps(path.relative_to(tmp_path), 2) == [0, 2, 4]


@pytest.mark.parametrize(
    "encoded",
    [
        TEXT.encode("utf-8-sig"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        (TEXT.replace("\n", "\r\n") + "\r\n \r\n").encode("utf-8-sig"),
        compressed(TEXT.encode()),
        compressed(TEXT[:50].encode()) + compressed(TEXT[50:].encode()),
    ],
)
def test_text_of_any_system(tmp_path, encoded):
    path = tmp_path / "a.xyz"
    path.write_bytes(encoded)
    assert steps(path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no frame"),
        (b"\n\n", "has no frame"),
        (compressed(b""), "has no frame"),
        (TEXT.encode("utf-16"), "it cannot be read (UnicodeDecodeError"),
        (compressed(TEXT.encode())[:-12], "it cannot be read (EOFError"),
        (compressed(TEXT.encode()) + b"END", "it cannot be read (BadGzipFile"),
        (bz2.compress(TEXT.encode()), "is a bzip2 file; expected extended XYZ, plain or gzipped"),
        (b"PK\x03\x04", "is a zip file, as .npz and .pt files are"),
        (pickle.dumps(TEXT), "is a pickle, which is not read because reading it can run any code"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\xff\xfe\x00\x01", "it cannot be read (UnicodeDecodeError"),
        (b"CDF\x01", "'CDF\\x01' instead of the number of atoms of a frame"),
        (b"- of UlmASE-Trajectory", "it cannot be read"),
        (b"SQLite format 3\x00", "it cannot be read (DatabaseError"),
        (b"{}", "is JSON whose rows (none) and ids [] differ"),
        (b'{"1": ', "it cannot be read (JSONDecodeError"),
        (b'{"a": ' * 100_000, "it cannot be read (RecursionError"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, content, message):
    path = tmp_path / "a.xyz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        steps(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text(TEXT)
    (tmp_path / "link").symlink_to("file")
    assert steps(tmp_path / "link") == [0, 1, 2, 3, 4]
    for name, message in (("", "is not a regular file"), ("pipe", "is not a regular file"), ("loop", "OSError")):
        with pytest.raises(DataError, match=message):
            steps(tmp_path / name)
    with pytest.raises(DataError, match="FileNotFoundError"):
        steps(tmp_path / "absent")


def stepped(count):
    return [atoms for step in range(count) for atoms in images(1, step=step)]


@pytest.mark.parametrize("count", [1, 2, 42, 43, 45])
def test_a_trajectory_of_ase(tmp_path, count):
    path = tmp_path / "a.xyz"
    write(path, stepped(count), format="traj")
    assert steps(path) == list(range(count))
    assert steps(path, 2) == list(range(0, count, 2))
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-40], whole[: len(whole) // 2], whole + b"\x00", whole + whole, whole[:60]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.xyz"):
            steps(path)


def test_a_trajectory_whose_writing_was_cut_short(tmp_path):
    path = tmp_path / "a.traj"
    with Trajectory(path, "w") as trajectory:
        for atoms in stepped(3):
            trajectory.write(atoms)
        # The arrays of a fourth frame, without the end that counts it.
        trajectory.backend.write(positions=np.zeros((3, 3)))
        trajectory.backend.fd.flush()
        content = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match="its 3 frames end at"):
        steps(path)


def database(path, kind, count=4):
    with connect(path, type=kind, use_lock_file=False) as found:
        for step, atoms in enumerate(stepped(count)):
            found.write(atoms, step=step, charge_of_molecule=0, data={"gradient": np.ones((3, 3)), "note": "x"})
    return path


@pytest.mark.parametrize("kind", ["db", "json"])
def test_a_database_of_ase_with_all_that_its_rows_say(tmp_path, kind):
    path = database(tmp_path / "a@1 ä?#.xyz", kind)
    whole = path.read_bytes()
    assert steps(path) == [0, 1, 2, 3]
    assert steps(path, 3) == [0, 3]
    atoms = next(iter(atoms_of_file(path, 1)))
    assert atoms.get_potential_energy() == -2079.5
    assert (atoms.info["charge_of_molecule"], atoms.info["note"]) == (0, "x")
    assert atoms.arrays["gradient"].tolist() == np.ones((3, 3)).tolist()
    assert path.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    for content in (whole[:-2], whole + b"x", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="a@1"):
            steps(path)
    assert path.read_bytes() == content


def test_a_json_database_whose_list_of_rows_is_short(tmp_path):
    path = database(tmp_path / "a.json", "json")
    text = path.read_text()
    assert '"ids": [1, 2, 3, 4]' in text
    for other in ('"ids": [1, 2, 3]', '"ids": [1, 2, 3, 4, 4]', '"idx": []'):
        path.write_text(text.replace('"ids": [1, 2, 3, 4]', other))
        with pytest.raises(DataError, match=r"a\.json"):
            steps(path)
    path.write_text(text.replace('"2": {', '"1": {'))
    with pytest.raises(DataError, match="a key occurs twice"):
        steps(path)


def test_another_database_is_neither_read_nor_changed(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE things (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="an SQLite database, but not of ASE"):
        steps(path)
    assert path.read_bytes() == before


def test_a_database_with_changes_that_are_not_in_it(tmp_path):
    path = database(tmp_path / "a.db", "db")
    (tmp_path / "a.db-wal").write_bytes(b"x")
    with pytest.raises(DataError, match=r"has pending changes in a\.db-wal"):
        steps(path)

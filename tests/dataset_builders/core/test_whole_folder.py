"""A folder that is replaced: the old or the new one, wherever the replacement ends."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builders.build.edition_folder import write_repository
from dataset_builders.core.errors import SetupError
from dataset_builders.core.whole_folder import settle, settle_all, whole_folder
from tests.dataset_builders.folder_moves import check_replacing

KILLED_AT_EACH_CALL = """
import os, sys, shutil
from pathlib import Path
from dataset_builders.core.whole_folder import settle_all, whole_folder

CALLS = ("rename", "replace", "mkdir", "rmdir", "unlink", "fsync")
root = Path(sys.argv[1])

def fill(folder, text):
    for name in ("a.parquet", "b.parquet"):
        (folder / name).write_text(text)

def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else None

def run(place, text):
    with whole_folder(place) as fresh:
        fill(fresh, text)

def killed_at(place, step):
    left = step
    def before(call):
        def counted(*arguments, **keywords):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return call(*arguments, **keywords)
        return counted
    for name in CALLS:
        setattr(os, name, before(getattr(os, name)))
    run(place, "new")

old, new = ({name: text for name in ("a.parquet", "b.parquet")} for text in ("old", "new"))
ends = []
for step in range(100):
    killed = False
    for had_old in (True, False):
        place = root / f"{step}-{had_old}" / "task1"
        place.parent.mkdir()
        if had_old:
            run(place, "old")
        child = os.fork()
        if not child:
            killed_at(place, step)
            os._exit(0)
        killed |= os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        before = content(place)
        settle_all(place.parent)
        after = content(place)
        assert after in ((old, new) if had_old else (None, new)), (step, had_old, after)
        assert before in (after, None), "a reader never sees a part"
        ends.append((had_old, before == old, before == new))
        run(place, "newer")
        assert set(content(place).values()) == {"newer"}
        assert [path.name for path in place.parent.iterdir()] == ["task1"], "no remains"
    if not killed:
        break
assert (True, False, False) in ends, "no step without either: the test kills at the wrong calls"
assert (True, False, True) in ends
print(step)
"""


def test_killed_at_any_call_leaves_the_old_or_the_new_one_and_the_next_command_goes_on(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_CALL, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) >= 5


def write(place, text):
    with whole_folder(place) as fresh:
        (fresh / "rows").write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse(monkeypatch, number, which):
    """The calls of `rename` of which the number is in `which`, from 1, fail."""
    calls = []
    rename = os.rename

    def refusing(source, target, **keywords):
        calls.append(source)
        if len(calls) in which:
            raise OSError(number, os.strerror(number), str(source))
        return rename(source, target, **keywords)

    monkeypatch.setattr(os, "rename", refusing)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOTEMPTY, errno.EBUSY, errno.EACCES, errno.ESTALE])
def test_a_file_system_that_refuses_to_move_the_old_one_keeps_both(tmp_path, monkeypatch, number):
    place = tmp_path / "data" / "task1"
    write(place, "old")
    refuse(monkeypatch, number, {1})
    with pytest.raises(
        SetupError, match=r"task1 cannot be moved aside .*the new folder is complete at (\S+),"
    ) as error:
        write(place, "new")
    assert (place / "rows").read_text() == "old"
    (fresh,) = (path for path in place.parent.iterdir() if path != place)
    assert str(fresh) in str(error.value)
    assert (fresh / "rows").read_text() == "new"
    write(place, "newer")
    assert names(place.parent) == ["task1"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOTEMPTY, errno.EBUSY, errno.EACCES])
def test_a_file_system_that_refuses_the_new_one_gets_the_old_one_back(tmp_path, monkeypatch, number):
    place = tmp_path / "task1"
    write(place, "old")
    refuse(monkeypatch, number, {2})
    with pytest.raises(
        SetupError, match=r"cannot be moved to .*task1: .*The old one is in place and unchanged; the new folder"
    ):
        write(place, "new")
    assert (place / "rows").read_text() == "old"


def test_a_file_system_that_then_refuses_everything_is_told_where_both_lie(tmp_path, monkeypatch):
    place = tmp_path / "task1"
    write(place, "old")
    with monkeypatch.context() as patch:
        refuse(patch, errno.EIO, {2, 3})
        with pytest.raises(SetupError, match=r"The old one is complete at .*\.old .*; the new folder is complete at"):
            write(place, "new")
    assert not place.exists()
    settle_all(tmp_path)
    assert (place / "rows").read_text() == "old"


def test_an_old_folder_that_cannot_be_deleted_is_in_nobodys_way(tmp_path, monkeypatch):
    place = tmp_path / "task1"
    write(place, "old")
    with monkeypatch.context() as patch:
        # As with files that a network file system keeps for a program that has them open.
        patch.setattr(os, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EBUSY, "busy")))
        write(place, "new")
    assert (place / "rows").read_text() == "new"
    assert len(names(tmp_path)) == 2
    write(place, "newer")
    assert names(tmp_path) == ["task1"]


def test_a_fault_while_filling_leaves_the_old_one_and_no_remains(tmp_path):
    place = tmp_path / "task1"
    write(place, "old")

    def fail_halfway():
        with whole_folder(place) as fresh:
            (fresh / "rows").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert ((place / "rows").read_text(), names(tmp_path)) == ("old", ["task1"])


def test_a_disk_that_is_full_is_told_and_the_old_one_stays(tmp_path):
    place = tmp_path / "task1"
    write(place, "old")

    def fill_the_disk():
        with whole_folder(place) as fresh:
            (fresh / "rows").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SetupError, match=r"the files of .*task1 cannot be written to .* \(.*No space left on device\)"):
        fill_the_disk()
    assert ((place / "rows").read_text(), names(tmp_path)) == ("old", ["task1"])


def test_a_place_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"the folder .*file.* cannot be created"):
        write(tmp_path / "file" / "task1", "new")


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    write(tmp_path / "elsewhere", "theirs")
    (tmp_path / "task1").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "task1", "new")
    assert (tmp_path / "elsewhere" / "rows").read_text() == "theirs"
    assert names(tmp_path) == ["elsewhere", "task1"]


def test_the_remains_of_others_are_left_alone(tmp_path):
    for name in ("task1", "task1-pbe", "task11", "task1.b"):
        write(tmp_path / name, name)
        shutil.move(tmp_path / name, tmp_path / f".{name}.{'0' * 16}.old")
    settle(tmp_path / "task1")
    assert names(tmp_path) == [*(f".{name}.{'0' * 16}.old" for name in ("task1-pbe", "task1.b", "task11")), "task1"]
    settle_all(Path(tmp_path))
    assert names(tmp_path) == ["task1", "task1-pbe", "task1.b", "task11"]
    for name in names(tmp_path):
        assert (tmp_path / name / "rows").read_text() == name


def test_a_build_that_is_stopped_between_two_moves_or_refused_one_loses_no_folder(small_build, tmp_path, monkeypatch):
    settings, _ = small_build

    def write():
        write_repository(settings, tmp_path)

    write()
    check_replacing(monkeypatch, write, tmp_path / "task1", lambda: settle_all(tmp_path))

import os
import py_compile
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from harness.worker.linked_files import link_identical_files


@pytest.fixture
def folders(tmp_path):
    """A folder of packages and one with a copy of its module."""
    own, new = tmp_path / "own", tmp_path / "new"
    for folder in (own, new):
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "module.py").write_text("x = 1\n")
    return own, new


def test_equal_files_become_one(folders):
    own, new = folders
    (own / "package" / "lib.so").write_bytes(b"0123456789")
    (new / "package" / "lib.so").write_bytes(b"0123456789")
    assert link_identical_files(new, own) == 16
    assert (new / "package" / "module.py").samefile(own / "package" / "module.py")
    assert (new / "package" / "lib.so").samefile(own / "package" / "lib.so")
    assert link_identical_files(new, own) == 0
    assert not list((new / "package").glob("*.link"))


def test_other_bytes_stay(folders):
    own, new = folders
    (own / "package" / "module.py").write_text("x = 2\n")
    (new / "only_here.py").write_text("x = 3\n")
    assert link_identical_files(new, own) == 0
    assert (new / "package" / "module.py").read_text() == "x = 1\n"
    assert (new / "only_here.py").read_text() == "x = 3\n"


def test_a_linked_module_has_its_compiled_one(folders):
    own, new = folders
    module = own / "package" / "module.py"
    os.utime(module, (1e9, 1e9))
    py_compile.compile(str(module))
    # That of the copy belongs to another time stamp.
    py_compile.compile(str(new / "package" / "module.py"))
    link_identical_files(new, own)
    shared = Path(cache_from_source(str(new / "package" / "module.py")))
    assert shared.samefile(cache_from_source(str(module)))
    program = f"import sys; sys.path.insert(0, {str(new)!r}); import package.module as m; print(m.x, m.__file__)"
    finished = subprocess.run([sys.executable, "-v", "-I", "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == f"1 {new / 'package' / 'module.py'}\n"
    assert f"{shared} matches" in finished.stderr


def test_replacing_a_file_leaves_the_other(folders):
    own, new = folders
    link_identical_files(new, own)
    changed = new / "package" / "module.new"
    changed.write_text("x = 5\n")
    changed.replace(new / "package" / "module.py")
    assert (own / "package" / "module.py").read_text() == "x = 1\n"


def test_metadata_and_symbolic_links_stay(folders):
    own, new = folders
    for folder in folders:
        (folder / "package-2.dist-info").mkdir()
        (folder / "package-2.dist-info" / "RECORD").write_text("package/module.py,,\n")
    (own / "alias.py").symlink_to(own / "package" / "module.py")
    (new / "alias.py").write_text("x = 1\n")
    link_identical_files(new, own)
    record = "package-2.dist-info/RECORD"
    assert not (new / record).samefile(own / record)
    assert not (new / "alias.py").samefile(own / "alias.py")


def test_a_file_system_without_links_keeps_the_copies(folders, monkeypatch):
    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    own, new = folders
    assert link_identical_files(new, own) == 0
    assert (new / "package" / "module.py").read_text() == "x = 1\n"

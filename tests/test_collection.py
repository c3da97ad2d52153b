"""Every file of tests is collected: pytest leaves out folders by their names."""

from fnmatch import fnmatch
from pathlib import Path

import pytest


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    left_out = pytestconfig.getini("norecursedirs")
    folders = {path.parent for path in Path(__file__).parent.rglob("test_*.py")}
    names = {part for folder in folders for part in folder.relative_to(Path(__file__).parent).parts}
    assert "build" in names
    assert not [name for name in names if any(fnmatch(name, pattern) for pattern in left_out)]


def test_folders_of_tests_are_packages() -> None:
    """Two files of one name in folders that are none would hide each other."""
    folders = {path.parent for path in Path(__file__).parent.rglob("test_*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]

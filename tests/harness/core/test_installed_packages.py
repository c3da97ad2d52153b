import os
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from harness.core.installed_packages import installed_packages

INSTALLED = ("late/__init__.py", "late/deep/more.py", "single.py")


def test_it_says_what_the_standard_library_says() -> None:
    expected = {package: sorted(set(names)) for package, names in packages_distributions().items()}
    found = {package: sorted(set(names)) for package, names in installed_packages().items()}
    assert found == expected
    assert found["numpy"] == ["numpy"]


def test_what_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(tmp_path / "absent")])
    os.utime(tmp_path, (0, 0))  # a folder that changes again at once may keep its time
    assert "late" not in installed_packages()
    # The backport of importlib.metadata, if anything imported it, leaves out files that are not there.
    for file in INSTALLED:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    record = tmp_path / "late_things-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: late-things\nVersion: 1.0\n")
    (record / "RECORD").write_text("".join(f"{file},,\n" for file in INSTALLED))
    assert installed_packages()["late"] == installed_packages()["single"] == ["late-things"]

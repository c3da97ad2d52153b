"""Other packages of the same names are found before anything runs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError
from dataset_builders.core.own_packages import PACKAGES, require_own_packages

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def asked_anew():
    require_own_packages.cache_clear()
    yield
    require_own_packages.cache_clear()


def test_the_packages_here_are_our_own():
    require_own_packages()


@pytest.mark.parametrize("name", ["harness", "model_cards"])
def test_a_package_of_the_same_name_on_the_path_is_named(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SetupError, match=rf"finds the package {name} in .*{name}, expected .*{name} of mlip-ood; run"):
        require_own_packages()


@pytest.mark.parametrize("name", ["harness", "model_cards"])
def test_a_folder_beside_the_command_is_named_with_the_remedy(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    command = [sys.executable, "-m", "dataset_builders", "path"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == SetupError.exit_code
    assert f"in a folder without {name}" in done.stderr


def installed(target: Path) -> Path:
    """A folder with the packages as an installer would leave them, of first files only, and their record."""
    import base64
    import hashlib

    lines = []
    for name in PACKAGES:
        (target / name).mkdir(parents=True)
        data = f'"""{name}"""\n'.encode()
        (target / name / "__init__.py").write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name}/__init__.py,sha256={digest},{len(data)}")
    info = target / "mlip_ood-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlip-ood\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("\n".join(lines))
    return target


def test_a_file_that_another_distribution_overwrote_is_named(tmp_path, monkeypatch):
    target = installed(tmp_path / "site")
    monkeypatch.syspath_prepend(target)
    module = "dataset_builders.core.own_packages"
    monkeypatch.setattr(f"{module}.__file__", str(target / "dataset_builders" / "core" / "own_packages.py"))
    require_own_packages()
    require_own_packages.cache_clear()
    (target / "harness" / "__init__.py").write_text("# of somebody else\n")
    with pytest.raises(SetupError, match=r"harness/__init__\.py is not the file that mlip-ood installed: another"):
        require_own_packages()


def test_the_wheel_records_hashes_of_the_first_files(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith("RECORD"))
        lines = archive.read(record).decode().splitlines()
    for name in PACKAGES:
        assert any(line.startswith(f"{name}/__init__.py,sha256=") for line in lines)

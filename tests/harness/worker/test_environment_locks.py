"""The locks name every package of an environment with the hashes of its files, and pip refuses a file with another."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from dataset_builders.core.errors import SetupError
from harness.worker import environment_locks
from harness.worker.environment_locks import LOCKS, locked_requirements, pin_of
from harness.worker.family_environments import ENVIRONMENTS, WORKER_REQUIREMENTS
from tests.locks import OF_PYTORCH, locks_of, project_requirements


@pytest.fixture
def other_locks(tmp_path, monkeypatch):
    path = tmp_path / "environment_locks.json"
    monkeypatch.setattr(environment_locks, "LOCKS", path)
    environment_locks._locks.cache_clear()
    yield path
    environment_locks._locks.cache_clear()


@pytest.mark.parametrize("family", ENVIRONMENTS)
def test_a_lock_has_what_the_family_and_its_worker_require(family):
    lines = locked_requirements(family).splitlines()
    pins = {}
    for line in lines:
        requirement, *hashes = line.split(" --hash=sha256:")
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes), requirement
        found = Requirement(requirement)
        # Those of this processor: others are for other Pythons or systems.
        if found.marker is None or found.marker.evaluate():
            assert found.name not in pins
            pins[found.name] = Version(str(found.specifier).removeprefix("=="))
    spec = ENVIRONMENTS[family]
    own = project_requirements() if spec.trains else ()
    for wanted in map(Requirement, (*WORKER_REQUIREMENTS, *own, *spec.requirements)):
        assert pins[canonicalize_name(wanted.name)] in wanted.specifier, wanted
    assert not [name for name in pins if OF_PYTORCH.fullmatch(name)]
    left_out = {wanted.name for wanted in map(Requirement, spec.overrides) if wanted.marker is not None}
    assert not left_out & pins.keys()


def test_the_file_is_what_the_command_writes_of_its_content():
    found = json.loads(LOCKS.read_text(encoding="utf-8"))
    environments = {
        family: {each: found["hashes"][pin_of(each)] for each in of} for family, of in found["environments"].items()
    }
    assert locks_of(environments) == found
    assert LOCKS.read_text(encoding="utf-8") == json.dumps(found, indent=0) + "\n"


@pytest.mark.parametrize("is_changed", [False, True])
def test_pip_installs_the_locked_file_and_no_other(tmp_path, other_locks, is_changed):
    wheel = tmp_path / "wheels" / "locked_toy-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("locked_toy.py", "")
        archive.writestr("locked_toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: locked-toy\nVersion: 1.0\n")
        archive.writestr("locked_toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("locked_toy-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    other_locks.write_text(json.dumps(locks_of({"toy": {"locked-toy==1.0": [sha256]}})))
    (tmp_path / "requirements.txt").write_text(locked_requirements("toy"))
    if is_changed:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("more.py", "")
    options = ["--no-index", "--find-links", str(wheel.parent), "--target", str(tmp_path / "installed")]
    locked = ["--require-hashes", "--no-deps", "--requirement", str(tmp_path / "requirements.txt")]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--isolated", *options, *locked],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0, (tmp_path / "installed" / "locked_toy.py").exists()) == (not is_changed,) * 2
    assert ("DO NOT MATCH THE HASHES" in done.stderr) == is_changed


def test_a_damaged_file_is_reported(other_locks):
    other_locks.write_text("{")
    with pytest.raises(SetupError, match=r"cannot read .*environment_locks\.json: .*; install mlip-ood again"):
        locked_requirements("mace")


def test_a_package_without_hashes_is_reported(other_locks):
    other_locks.write_text(json.dumps({"environments": {"mace": ["ase==3"]}, "hashes": {}}))
    with pytest.raises(SetupError, match=r"no complete list of packages for mace \(KeyError\('ase==3'\)\)"):
        locked_requirements("mace")

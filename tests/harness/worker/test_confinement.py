"""Strict isolation against a hostile model, by each means of the system, with and without user namespaces."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from dataset_builders.core.errors import SetupError, UsageError
from harness.api import evaluate
from harness.core.batch import StructureBatch
from harness.worker import confinement
from harness.worker.confinement import available_means, confinement_for
from harness.worker.kernel_limits import LEAST_LANDLOCK, landlock_version

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BATCH = StructureBatch(
    atomic_numbers=np.array([8, 1, 1], dtype=np.uint8),
    positions=np.zeros((3, 3), dtype=np.float32),
    n_atoms=np.array([3]),
    smiles=("O",),
)
NEEDED = ["write in its home", "use a temporary file"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strict isolation needs Linux")
with_landlock = pytest.mark.skipif(landlock_version() < LEAST_LANDLOCK, reason="this kernel has no Landlock")
with_bubblewrap = pytest.mark.skipif(
    sys.platform.startswith("linux") and confinement._why_no_bubblewrap() is not None, reason="no bubblewrap here"
)


def _what_it_could_do(folder: Path, *arguments: str) -> Any:
    """What the hostile model did, with servers to connect to and a secret to read."""
    home, place = folder / "home", folder / "model"
    home.mkdir()
    place.mkdir()
    (home / "token").write_text("hf_canary")
    local = str(folder / "local")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        datagrams.bind(("127.0.0.1", 0))
        unix.bind(local)
        unix.listen()
        program = ROOT / "tests/harness/worker/confined_run.py"
        target = {
            "secret": str(home / "token"), "project": str(Path(harness.__path__[0]) / "api.py"), "local": local,
            "port": server.getsockname()[1], "datagrams": datagrams.getsockname()[1], "beside": str(place / "more"),
            "name": program.name,
        }  # fmt: skip
        command = [sys.executable, str(program), str(place / "target.json"), *arguments]
        (place / "target.json").write_text(json.dumps(target))
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "CANARY": "hf_canary"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_without_confinement_a_model_reads_the_files_of_the_user(tmp_path: Path) -> None:
    """The test would be worth nothing if its deeds did not work where nothing stops them."""
    found = _what_it_could_do(tmp_path, "none")
    assert found["means"] is None
    wanted = {"read a file of the user", "read it by a program", "change the project", "connect to a local server"}
    assert wanted | set(NEEDED) <= set(found["done"])


@pytest.mark.parametrize(
    ("means", "system"),
    [
        pytest.param("bubblewrap", (), marks=with_bubblewrap),
        pytest.param("landlock", (), marks=with_landlock),
        pytest.param("landlock", ("refusing",), marks=with_landlock),
    ],
)
def test_a_confined_model_reaches_nothing_of_the_user(tmp_path: Path, means: str, system: tuple[str, ...]) -> None:
    found = _what_it_could_do(tmp_path, means, *system)
    assert (found["means"], found["done"]) == (means, NEEDED)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["target.json"]
    assert found["memory"] > 20 * 2**20  # that of the model, not of a program that waits for it


@pytest.mark.skipif(
    landlock_version() < LEAST_LANDLOCK and shutil.which("bwrap") is None, reason="nothing confines here"
)
def test_a_confined_evaluation_gives_the_same_numbers_and_says_what_confined_it(tiny_dataset: Path) -> None:
    strict, free = (
        evaluate(model="mmff94", dataset=tiny_dataset, tasks=["task1"], isolation=each) for each in ("strict", "always")
    )
    assert strict.tasks == free.tasks
    assert (strict.environment.isolation, free.environment.isolation) == (available_means(), None)


def test_a_worker_never_reads_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(confinement, "available_means", lambda: "landlock")
    (tmp_path / "home").mkdir()
    for folder in (tmp_path, tmp_path / "home"):
        with pytest.raises(UsageError, match=r"would have to read .*, which contains it; run from a folder"):
            confinement_for(Path(sys.executable), (folder,), "mmff94")
    (tmp_path / "home/code").mkdir()
    found = confinement_for(Path(sys.executable), (tmp_path / "home/code",), "mmff94")
    assert tmp_path / "home/code" in found.readable
    assert tmp_path / "home" not in found.readable


def test_a_checkpoint_in_the_cache_of_the_hub_brings_what_its_links_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement, "available_means", lambda: "landlock")
    blob, other = tmp_path / "blobs/aa", tmp_path / "blobs/bb"
    snapshot = tmp_path / "snapshots/cc"
    for folder in (blob.parent, snapshot):
        folder.mkdir(parents=True)
    blob.write_text("weights")
    other.write_text("of another model")
    (snapshot / "model.pt").symlink_to(blob)
    (snapshot / "config.json").write_text("{}")
    found = confinement_for(Path(sys.executable), (), snapshot / "model.pt").readable
    assert {snapshot, blob} <= set(found)
    assert not {other, blob.parent, tmp_path} & set(found)


def test_where_nothing_confines_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    available_means.cache_clear()
    monkeypatch.setattr(confinement, "_why_no_bubblewrap", lambda: "which is not installed")
    monkeypatch.setattr(confinement, "landlock_version", lambda: 2)
    with pytest.raises(SetupError, match=r"bubblewrap \(which is not installed\) or Landlock .* found 2\)\. Install"):
        available_means()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SetupError, match="needs Linux"):
        available_means()
    available_means.cache_clear()


def test_the_harness_is_not_dumpable_while_a_worker_runs() -> None:
    program = """
import ctypes
from harness.worker.kernel_limits import not_dumpable

dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
before = dumpable()
with not_dumpable():
    within = dumpable()
    with not_dumpable():
        pass
    nested = dumpable()
print(before, within, nested, dumpable())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["1", "0", "0", "1"]


@with_landlock
def test_limits_cannot_be_lifted_and_reach_programs_that_are_started(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    program = f"""
import subprocess, sys
from pathlib import Path
from harness.worker.kernel_limits import LimitError, drop_capabilities, forbid_new_privileges, limit_files

drop_capabilities()
forbid_new_privileges()
readable = [Path(each) for each in (*{[str(ROOT), "/usr", "/lib", "/lib64", "/bin"]!r}, sys.prefix, sys.base_prefix)]
limit_files(readable, [])
try:
    limit_files([Path("/")], [Path("/")])
except LimitError as cause:
    print("second", cause)
for path in ({str(tmp_path / "secret")!r}, "/proc/1/environ", "/etc/shadow"):
    print(subprocess.run(["cat", path], capture_output=True).returncode)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split()[-3:] == ["1", "1", "1"]

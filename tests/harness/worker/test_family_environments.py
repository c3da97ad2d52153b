import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError, UsageError
from harness.worker import family_environments as environments
from harness.worker.command import main
from harness.worker.family_environments import (
    ENVIRONMENTS,
    EnvironmentSpec,
    create_environment,
    environments_folder,
    find_environment,
    interpreter_of,
    remove_environment,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_OOD_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    return tmp_path / "environments"


class Installer:
    """Stands in for pip: makes the interpreter's file, and says what was asked of it."""

    def __init__(self, fails_at: str = "", python: str = "3 11"):
        self.commands = []
        self.fails_at = fails_at
        self.python = python

    def __call__(self, command):
        self.commands.append(list(command))
        if "--requirement" in command:
            self.locked = Path(command[-1]).read_text()
        text = " ".join(command)
        if self.fails_at and self.fails_at in text:
            return subprocess.CompletedProcess(command, 1, "", "first line\nno matching distribution")
        if "-m venv" in text:
            python = interpreter_of(environments_folder() / "sevennet")
            python.parent.mkdir(parents=True)
            python.touch()
        if "version_info" in text:
            return subprocess.CompletedProcess(command, 0, self.python + "\n", "")
        return subprocess.CompletedProcess(command, 0, json.dumps({"torch": "2.13.0", "sevenn": "0.13.0"}), "")


def test_torch_comes_first_and_the_pins_follow(folder):
    installer = Installer()
    made = create_environment("sevennet", run=installer)
    assert made.directory == folder / "sevennet"
    assert made.packages == {"sevenn": "0.13.0", "torch": "2.13.0"}
    venv, torch, rest, compile_modules, _ = installer.commands
    assert venv[1:3] == ["-m", "venv"]
    assert torch[-1].startswith("torch==")
    assert "+" not in torch[-1]
    assert rest[-4:-1] == ["--require-hashes", "--no-deps", "--requirement"]
    assert re.search(r"^sevenn==0\.13\.0 --hash=sha256:[0-9a-f]{64}( |$)", installer.locked, re.MULTILINE)
    assert "\ntorch==" not in installer.locked
    assert compile_modules[1:3] == ["-m", "compileall"]


def test_files_of_the_harness_are_linked(folder, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "module.py").write_text("x = 1\n")
    monkeypatch.setattr(environments.sysconfig, "get_path", lambda name: str(own))
    packages = folder / "sevennet" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"

    class Copies(Installer):
        def __call__(self, command):
            finished = super().__call__(command)
            if "--requirement" in command:
                packages.mkdir(parents=True)
                (packages / "module.py").write_text("x = 1\n")
            return finished

    create_environment("sevennet", run=Copies())
    assert (packages / "module.py").samefile(own / "module.py")


def test_what_is_there_is_not_made_again():
    create_environment("sevennet", run=Installer())
    second = Installer()
    assert create_environment("sevennet", run=second).packages["sevenn"] == "0.13.0"
    assert second.commands == []


def test_other_pins_recreate_it(monkeypatch):
    create_environment("sevennet", run=Installer())
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"sevennet": EnvironmentSpec(("sevenn==9.9",))})
    assert find_environment("sevennet") is None


def test_another_lock_recreates_it(monkeypatch):
    create_environment("sevennet", run=Installer())
    monkeypatch.setattr(environments, "locked_requirements", lambda family: "sevenn==0.13.0 --hash=sha256:0\n")
    assert find_environment("sevennet") is None


def test_a_failed_installation_leaves_nothing(folder):
    with pytest.raises(
        SetupError, match=r"cannot create the environment of sevennet: .*\n.*\nno matching distribution\nCheck the net"
    ):
        create_environment("sevennet", run=Installer(fails_at="--require-hashes"))
    assert not (folder / "sevennet").exists()


def test_a_broken_stamp_is_no_environment(folder):
    create_environment("sevennet", run=Installer())
    (folder / "sevennet" / "mlip-ood.json").write_text("{")
    assert find_environment("sevennet") is None


def test_a_python_that_is_too_old_is_reported(monkeypatch):
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"sevennet": EnvironmentSpec(("orb==1",), (3, 12))})
    with pytest.raises(SetupError, match=r"needs Python 3\.12 or newer, but /usr/bin/old is 3\.11; .*--python python3"):
        create_environment("sevennet", "/usr/bin/old", Installer())


def test_an_unwritable_folder_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLIP_OOD_ENVIRONMENTS", str(tmp_path / "file" / "below"))
    with pytest.raises(SetupError, match="set MLIP_OOD_ENVIRONMENTS to another folder"):
        create_environment("sevennet", run=Installer())


def test_removing(folder):
    assert not remove_environment("sevennet")
    create_environment("sevennet", run=Installer())
    assert remove_environment("sevennet")
    assert not (folder / "sevennet").exists()


def test_unknown_families_are_reported():
    with pytest.raises(
        UsageError, match=f"there is no environment for 'gemnet'; expected one of {' '.join(ENVIRONMENTS)}"
    ):
        create_environment("gemnet", run=Installer())
    with pytest.raises(UsageError, match="there is no environment for 'gemnet'"):
        remove_environment("gemnet")


def test_the_command_lists(capsys):
    create_environment("sevennet", run=Installer())
    assert main(["list"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == list(ENVIRONMENTS)
    assert "create it with: python -m harness env create mace" in printed[0]
    assert printed[1].endswith("environments/sevennet")


def test_the_command_finds_and_removes(capsys):
    create_environment("sevennet", run=Installer())
    assert main(["create", "sevennet"]) == 0
    assert main(["remove", "sevennet"]) == 0
    assert capsys.readouterr().out.endswith("sevennet: removed\n")


def test_the_installer_has_no_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("PIP_RETRIES", "1")
    done = environments._run(["env"])
    assert "hf_secret" not in done.stdout
    assert "PIP_RETRIES=1" in done.stdout

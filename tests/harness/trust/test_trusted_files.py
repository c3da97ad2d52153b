"""Checkpoints that run code when they are loaded: when they may, and what they then find."""

import os
import pickle
import socket

import pytest

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.cli import main
from harness.core.potential import LoadOptions
from harness.models.registry import identify
from harness.trust.pickles import sha256_of
from harness.trust.trusted_files import trusted_files
from harness.worker.loading import loaded
from tests.harness.potentials.molecules import saved, small_mace


class Malicious:
    """Runs a program when it is unpickled, and is then a number."""

    def __init__(self, program):
        self.program = program

    def __reduce__(self):
        return eval, (f"(exec({self.program!r}), 0)[1]",)


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """The user's list, empty."""
    path = tmp_path / "trusted"
    monkeypatch.setenv("MLIP_OOD_TRUSTED", str(path))
    return path


def malicious_model(tmp_path, program):
    path = tmp_path / "malicious.model"
    path.write_bytes(pickle.dumps(Malicious(program)))
    return path


def test_without_a_list_nothing_is_trusted(listed):
    assert trusted_files() == ()


def test_a_list_holds_one_sha256_a_line(listed):
    listed.write_text(f"# mine\n\n{'A1' * 32}  small.model of Tuesday\n{'b2' * 32}\n")
    assert trusted_files() == ("a1" * 32, "b2" * 32)


def test_a_line_that_is_no_sha256_is_named(listed):
    listed.write_text("a1b2\n")
    with pytest.raises(UsageError, match=r"trusted, line 1 is 'a1b2'; expected a sha256 of 64 hexadecimal digits"):
        trusted_files()


def test_a_list_that_cannot_be_read_is_reported(listed):
    listed.mkdir()
    with pytest.raises(SetupError, match="cannot read the list of trusted checkpoints"):
        trusted_files()


def test_a_listed_checkpoint_needs_no_option(listed, tmp_path, tiny_dataset, capsys):
    pytest.importorskip("mace")
    energies = [[-1.0] * 5]
    model = saved(
        small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 9], atomic_energies=energies), tmp_path / "small.model"
    )
    command = ["--model", str(model), "--dataset", str(tiny_dataset), "--task", "task1", "--quiet"]
    command += ["--output", str(tmp_path / "results")]
    assert main(command) == 4
    assert "or add its sha256 to your list of trusted checkpoints" in capsys.readouterr().err
    listed.write_text(sha256_of(model))
    assert main(command) == 0


def test_a_malicious_pickle_does_nothing_without_trust(tmp_path):
    pytest.importorskip("mace")
    trace = tmp_path / "trace"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        port = server.getsockname()[1]
        program = f"import socket; open({str(trace)!r}, 'w'); socket.create_connection(('127.0.0.1', {port}))"
        source = identify(str(malicious_model(tmp_path, program)))
        with (
            pytest.raises(ModelError, match=r"is a pickle, .*It would import builtins\.eval"),
            loaded(source, LoadOptions(trusted_files=("0" * 64,))),
        ):
            pass
        with pytest.raises(TimeoutError):
            server.accept()
    assert not trace.exists()


def test_a_malicious_pickle_finds_no_token_even_with_trust(tmp_path, monkeypatch):
    pytest.importorskip("mace")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = tmp_path / "found"
    program = (
        "import os, huggingface_hub\n"
        f"text = repr((dict(os.environ), huggingface_hub.get_token(), open('/proc/self/environ').read()))\n"
        f"open({str(found)!r}, 'w').write(text)"
    )
    source = identify(str(malicious_model(tmp_path, program)))
    with pytest.raises(ModelError), loaded(source, LoadOptions(trust_checkpoint=True)):
        pass
    assert os.environ["HF_TOKEN"] == "hf_secret"
    assert "PATH" in found.read_text()
    assert "secret" not in found.read_text()

"""Pickled checkpoints are listed without being run, and refused without trust."""

import hashlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dataset_builders.core.errors import ModelError
from harness.core.potential import LoadOptions
from harness.models.registry import load_potential
from harness.trust.pickles import UNRESOLVED, imports_of, is_suspicious, require_trust, sha256_of


class Malicious:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.target}'",)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path: Path, is_zip: bool) -> None:
    target = tmp_path / "created-by-the-pickle"
    path = tmp_path / "evil.model"
    torch.save({"weights": torch.zeros(2), "run": Malicious(target)}, path, _use_new_zipfile_serialization=is_zip)

    with pytest.raises(ModelError, match=r"posix\.system.*--trust-checkpoint.*safetensors") as caught:
        load_potential(str(path), LoadOptions())

    assert not target.exists()
    assert str(path) in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)
    assert imports_of(path)[0] == "posix.system"
    # The file is what it seems: loaded, it does run the command.
    torch.load(path, weights_only=False)
    assert target.exists()


def test_a_zip_behind_a_pickle_does_not_hide_it(tmp_path: Path) -> None:
    harmless = io.BytesIO()
    with zipfile.ZipFile(harmless, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(OrderedDict(), protocol=2))
    payload = pickle.dumps(Malicious(tmp_path / "never"), protocol=2)
    path = written(tmp_path / "polyglot.model", payload + harmless.getvalue())
    assert "posix.system" in imports_of(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_imports_are_found_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = pickle.dumps([eval, eval, OrderedDict(a=1), Malicious(tmp_path / "never")], protocol=protocol)
    found = imports_of(written(tmp_path / "raw.model", content))
    modules = "__builtin__" if protocol < 3 else "builtins"
    assert set(found) == {f"{modules}.eval", "posix.system", "collections.OrderedDict"}
    assert found[-1] == "collections.OrderedDict"


def test_names_from_the_memo_are_followed(tmp_path: Path) -> None:
    content = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94" + b"0" + b"h\x00h\x01\x93."
    assert imports_of(written(tmp_path / "memo.model", content)) == ("posix.system",)


def test_a_computed_name_is_reported_as_such(tmp_path: Path) -> None:
    content = b"\x80\x04K\x01K\x02\x93."
    assert imports_of(written(tmp_path / "computed.model", content)) == (UNRESOLVED,)


def test_an_import_before_the_file_breaks_off_is_found(tmp_path: Path) -> None:
    assert imports_of(written(tmp_path / "cut.model", b"\x80\x02cposix\nsystem\n\xff\xff")) == ("posix.system",)


@pytest.mark.parametrize("content", [b"", b"\xff\xfenothing", b"PK\x03\x04 no zip after all"])
def test_a_file_without_a_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"contains no pickle|cannot read the checkpoint"):
        imports_of(written(tmp_path / "none.model", content))


def test_a_zip_with_a_damaged_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\u00e9.pkl", pickle.dumps([1]))
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xaa\xa9"))
    with pytest.raises(ModelError, match=r"cannot read the checkpoint .*m\.model: 'utf-8' codec can't decode"):
        imports_of(path)


def test_damaged_members_of_a_zip_are_refused(tmp_path: Path) -> None:
    """Wherever a byte is changed: in the packed pickle, in the directory, or in the way of packing."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps([Path("x"), "y" * 50]))
    whole = stream.getvalue()
    refused = 0
    for place in range(4, len(whole)):
        content = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            imports_of(written(tmp_path / "m.pt", content))
        except ModelError:
            refused += 1
    assert refused > 20


@given(st.binary(max_size=200))
@example(b"\x8d\x00\x00\x00\x00\x00\x00\x00\x01")  # a text of 2^56 bytes
def test_no_content_does_more_than_be_listed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.getbasetemp() / "fuzzed.model", content)
    try:
        names = imports_of(path)
    except ModelError:
        return
    assert all(isinstance(name, str) for name in names)


def test_trust_lets_a_checkpoint_pass(tmp_path: Path) -> None:
    path = written(tmp_path / "any.model", pickle.dumps(Malicious(tmp_path / "never")))
    require_trust(path, LoadOptions(trust_checkpoint=True))
    assert not (tmp_path / "never").exists()


def test_a_long_list_is_counted_not_spelt(tmp_path: Path) -> None:
    content = b"\x80\x02" + b"".join(b"cmace.modules\nBlock%d\n" % number for number in range(30)) + b"."
    with pytest.raises(ModelError, match=r"mace\.modules\.Block0, .* and others \(22 of mace\)"):
        require_trust(written(tmp_path / "long.model", content), LoadOptions())


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "builtins.eval", "builtins.getattr", UNRESOLVED])
def test_reaching_for_the_system_is_suspicious(name: str) -> None:
    assert is_suspicious(name)


@pytest.mark.parametrize("name", ["builtins.set", "collections.OrderedDict", "torch.FloatStorage", "ostrich.Egg"])
def test_plain_data_are_not_suspicious(name: str) -> None:
    assert not is_suspicious(name)


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    path = written(tmp_path / "abc", b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the checkpoint .*absent"):
        sha256_of(tmp_path / "absent")

"""What is known of source files survives a process, and nothing in its file can do harm."""

import json
from pathlib import Path

import pytest

from harness.core import source_code
from harness.core.source_digests import SourceDigest, SourceDigests

TEXT = b"import other\nSIZE = 3  # three\n"
DIGEST = SourceDigest(("other",), "ab" * 32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mlip-ood"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "code" / "sized.py"
    path.parent.mkdir()
    path.write_bytes(TEXT)
    monkeypatch.syspath_prepend(str(path.parent))
    return path


def test_it_is_known_to_the_next_process(cache: Path) -> None:
    key = SourceDigests.key("sized", Path("sized.py"), TEXT)
    first = SourceDigests(Path(__file__))
    assert first.get(key) is None
    first.add(key, DIGEST)
    first.save()
    assert SourceDigests(Path(__file__)).get(key) == DIGEST
    assert [path.suffix for path in cache.iterdir()] == [".json"]


def test_the_code_that_finds_it_out_starts_anew_when_it_changes(cache: Path, tmp_path: Path) -> None:
    reader = tmp_path / "reader.py"
    for text, known in (("one", None), ("one", DIGEST), ("two", None)):
        reader.write_text(text)
        digests = SourceDigests(reader)
        assert digests.get("key") == known
        digests.add("key", DIGEST)
        digests.save()


def test_two_processes_keep_what_both_found_out(cache: Path) -> None:
    one, other = SourceDigests(Path(__file__)), SourceDigests(Path(__file__))
    for number, digests in enumerate((one, other)):
        digests.add(str(number), DIGEST)
    for digests in (one, other):
        digests.save()
    third = SourceDigests(Path(__file__))
    assert third.get("0") == third.get("1") == DIGEST


def test_a_relative_cache_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    digests = SourceDigests(Path(__file__))
    digests.add("key", DIGEST)
    digests.save()
    assert not (tmp_path / "here").exists()
    assert (tmp_path / "home" / ".cache" / "mlip-ood").is_dir()


def test_the_key_changes_with_content_name_and_file() -> None:
    given = ("a.b", Path("b.py"), TEXT)
    others = [("a.c", Path("b.py"), TEXT), ("a.b", Path("__init__.py"), TEXT), ("a.b", Path("b.py"), TEXT + b"\n")]
    assert len({SourceDigests.key(*each) for each in (given, *others)}) == 4


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"\xff\xfe", b"[]", b'"text"', b'{"key": 3}', b'{"key": []}', b'{"key": [3, "x"]}', b"[" * 100_000],
)
def test_a_damaged_file_is_replaced(cache: Path, damaged: bytes) -> None:
    first = SourceDigests(Path(__file__))
    first.add("old", DIGEST)
    first.save()
    (path,) = cache.iterdir()
    path.write_bytes(damaged)
    second = SourceDigests(Path(__file__))
    assert second.get("key") is None
    second.add("key", DIGEST)
    second.save()
    assert list(json.loads(path.read_bytes())) == ["key"]


@pytest.mark.parametrize("variables", [{"XDG_CACHE_HOME": "/dev/null/cache"}, {"XDG_CACHE_HOME": "", "HOME": "/proc"}])
def test_where_nothing_can_be_written_it_is_found_out_again(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    digests = SourceDigests(Path(__file__))
    digests.add("key", DIGEST)
    digests.save()
    assert digests.get("key") == DIGEST
    assert SourceDigests(Path(__file__)).get("key") is None


def test_a_hash_is_the_same_with_and_without_it(cache: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a file that changes is read again, since its content is the key."""

    def hash_of_today() -> str:
        source_code.code_hash.cache_clear()
        source_code._digest.cache_clear()
        monkeypatch.setattr(source_code, "_DIGESTS", SourceDigests(Path(source_code.__file__)))
        return source_code.code_hash("sized")

    first = hash_of_today()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(source_code, "_found_out", None)  # would fail if it were called
    assert hash_of_today() == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    monkeypatch.syspath_prepend(str(module.parent))
    module.write_bytes(TEXT.replace(b"# three", b"# the number"))
    assert hash_of_today() == first
    module.write_bytes(TEXT.replace(b"3", b"4"))
    assert hash_of_today() != first
    source_code.code_hash.cache_clear()
    source_code._digest.cache_clear()

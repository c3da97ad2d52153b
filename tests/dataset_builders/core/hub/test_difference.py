import pytest

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub import difference
from dataset_builders.core.hub.repo import Repo


def test_a_file_of_others_that_is_no_text_is_named(monkeypatch, tmp_path):
    """Anyone who may write to the repo may have put it there."""
    path = tmp_path / "README.md"
    monkeypatch.setattr(difference, "copy_of", lambda *_: path)
    path.write_bytes("é".encode())
    assert difference.text_at(Repo("org/data", "dataset"), "main", "README.md") == "é"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match=r"README\.md of .*org/data is not UTF-8 .*correct or remove it on"):
        difference.text_at(Repo("org/data", "dataset"), "main", "README.md")

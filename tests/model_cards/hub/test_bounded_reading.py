import pytest

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.repo import Repo
from model_cards.hub.bounded_reading import MAX_FILE_BYTES, read_answer, read_file
from tests.loopback_hub import Fault

MODEL = Repo("org/model", "model")


def test_no_more_than_was_asked_for_is_read(hub):
    commit = hub.add_repo(MODEL.id, files={"a": b"x" * 1000, "big.bin": b"\0" * (MAX_FILE_BYTES + 1)})
    assert read_file(MODEL, commit, "a", 1000) == b"x" * 1000
    with pytest.raises(DataError, match="a of model org/model is larger than 999 bytes"):
        read_file(MODEL, commit, "a", 999)
    with pytest.raises(DataError, match=r"big\.bin of model org/model is larger than 16,777,216 bytes"):
        read_file(MODEL, commit, "big.bin")


def test_what_fails_for_a_moment_is_asked_again(hub):
    commit = hub.add_repo(MODEL.id, files={"a": b"x"})
    hub.order(Fault(method="GET", path="/resolve/", status=429, retry_after=0))
    assert read_file(MODEL, commit, "a") == b"x"


def test_an_answer_is_json(hub):
    hub.add_repo(MODEL.id, files={"a": b"x", "b": b"[" * 100_000})
    assert read_answer("/api/models/org/model", {}, "it")["id"] == MODEL.id
    for name in ("a", "b"):
        with pytest.raises(DataError, match="the answer of the Hub about it is not JSON"):
            read_answer(f"/org/model/resolve/main/{name}", {}, "it")

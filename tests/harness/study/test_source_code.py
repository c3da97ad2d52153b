from pathlib import Path

import pytest

from harness.study import source_code
from harness.study.source_code import code_hash

CODE = '''"""What it is."""

# Why it is so.
SIZE = 3


def double(number):
    """Twice a number."""
    return 2 * number  # not 3 *
'''
OTHER_WORDS = '''SIZE = 3
def double(number):

    """Something else."""

    return 2 * number
'''


def hash_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "module.py"
    path.write_text(text)
    for cached in (source_code._tree, code_hash):
        cached.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(source_code, "_source", lambda name: path)
        found = code_hash("module")
    for cached in (source_code._tree, code_hash):
        cached.cache_clear()
    return found


def test_words_do_not_count_and_code_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hash_of(CODE, tmp_path, monkeypatch)
    assert hash_of(OTHER_WORDS, tmp_path, monkeypatch) == first
    assert hash_of(CODE.replace("2 * number", "3 * number"), tmp_path, monkeypatch) != first
    assert hash_of(CODE.replace("SIZE = 3", "SIZE = 4"), tmp_path, monkeypatch) != first


def test_what_a_training_depends_on() -> None:
    modules = source_code._closure(["harness.train.*"])
    assert {
        "harness.train.loop",
        "harness.train.settings",
        "harness.checkpoints.networks",
        "harness.reference_shift",
        "harness.rows",
        "dataset_builders.schema",
    } <= modules
    # Neither what measures nor what only tells people something.
    assert not modules & {"harness.evaluate", "harness.report", "harness.train.curve", "dataset_builders.errors"}


def test_all_modules_of_a_package_count() -> None:
    modules = source_code._closure(["harness.potentials.*"])
    assert {"harness.potentials.xtb", "harness.potentials.mace", "dataset_builders.xtb"} <= modules

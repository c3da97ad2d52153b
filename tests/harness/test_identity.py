import pytest

from dataset_builders.errors import SetupError
from harness import identity
from harness.identity import code_hash
from harness.potentials.registry import FAMILIES


def test_each_family_has_a_hash_of_its_own():
    hashes = [code_hash(family.name) for family in FAMILIES]
    assert len(set(hashes)) == len(FAMILIES)
    assert all(len(each) == 64 for each in hashes)


def test_only_the_own_adapter_and_what_all_share_count(monkeypatch):
    read = []
    source_of = identity._source_of
    monkeypatch.setattr(identity, "_source_of", lambda module: read.append(module) or source_of(module))
    code_hash.cache_clear()
    code_hash("xtb")
    assert {"harness.potentials.xtb", "dataset_builders.xtb", "harness.predict", "harness.structures"} <= set(read)
    assert not {"harness.potentials.mace", "harness.potentials.registry", "harness.report"} & set(read)


def test_every_module_that_counts_is_there():
    for family in FAMILIES:
        for module in (family.module, *family.sources):
            assert identity._source_of(module)


def test_a_source_that_is_not_there_is_said():
    with pytest.raises(SetupError, match=r"the source of harness\.absent cannot be found"):
        identity._source_of("harness.absent")

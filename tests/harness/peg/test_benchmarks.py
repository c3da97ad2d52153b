import pytest

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.folder.mini import MINI_DIRECTORY
from harness.data.dataset import PinnedDataset, open_levels
from harness.peg.benchmarks import BENCHMARKS, DATASET_VARIABLE, find_benchmark, labels_of


def test_an_unknown_benchmark_is_named():
    with pytest.raises(UsageError, match="no benchmark 'fragments_B3LYP'; it has: fragments_GFN2"):
        find_benchmark("fragments_B3LYP")


def test_mini_is_the_default_and_has_some_levels(monkeypatch):
    monkeypatch.delenv(DATASET_VARIABLE, raising=False)
    held = {dataset.level.name for dataset in open_levels("mini")}
    for benchmark in BENCHMARKS.values():
        found = labels_of(benchmark)
        if benchmark.level in held:
            assert isinstance(found, PinnedDataset)
            assert (found.directory, found.level.name) == (MINI_DIRECTORY, benchmark.level)
        else:
            assert "mini has no labels at" in str(found)


@pytest.mark.parametrize("name", ["fragments_GFN2", "fragments_wB97X"])
def test_a_level_without_labels_is_said(tiny_dataset, monkeypatch, name):
    monkeypatch.setenv(DATASET_VARIABLE, str(tiny_dataset))
    method = find_level(BENCHMARKS[name].level).method
    assert labels_of(BENCHMARKS[name]) == f"{tiny_dataset} has no labels at {method}, only at MMFF94"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("no/such/folder", DataError, "there is no data-set folder 'no/such/folder'"),
        (" ", UsageError, f"{DATASET_VARIABLE} is empty; expected mini, a folder or a Hub id"),
    ],
)
def test_an_absent_data_set_is_refused(monkeypatch, text, error, message):
    monkeypatch.setenv(DATASET_VARIABLE, text)
    with pytest.raises(error, match=message):
        labels_of(BENCHMARKS["fragments_GFN2"])

import hashlib

import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.core.errors import DataError, IncompleteError, ModelError, UsageError
from dataset_builders.core.hub.repo import Repo
from harness.hub.download import list_files
from harness.results.result import Estimate
from model_cards.publishing.publishable import (
    find_model_files,
    hub_repo_of,
    pinned_model,
    require_benchmark,
    require_publishable,
)
from tests.harness.results.test_result import failed
from tests.model_cards.conftest import COMMIT, DATASET, FILES, MODEL, WEIGHTS

NONE = Estimate(value=None, low=None, high=None, unit="1", reason="F0 is too small")


def with_task(result, **changes):
    task = result.tasks["task2"].model_copy(update=changes)
    return result.model_copy(update={"tasks": result.tasks | {"task2": task}})


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_whole_result_of_a_model_passes(make_result):
    require_publishable([make_result("task1", "task2"), make_result("task3")])


def test_one_task_on_two_data_sets_passes(make_result):
    require_publishable([make_result(), make_result(dataset={"id": "compgen/other"})])


def without_id_split(result):
    splits = result.tasks["task2"].splits
    return with_task(result, splits={part: splits[part] for part in splits if part != "test_id"})


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda result: result.model_copy(update={"tasks": {"task2": failed(result.tasks["task2"])}}),
            IncompleteError,
            r"1 structures of task2 of ann/model failed, the first OH-2-H \(no convergence\).*fix the cause",
        ),
        (
            lambda result: result.model_copy(
                update={"dataset": result.dataset.model_copy(update={"id": "mini", "revision": None})}
            ),
            UsageError,
            r"on the data set 'mini', which is not pinned to a commit.*evaluate with --dataset org/name@revision",
        ),
        (
            without_id_split,
            IncompleteError,
            r"task2 of ann/model is incomplete: it has no test_id; evaluate on the whole",
        ),
        (
            lambda result: with_task(result, score=NONE),
            IncompleteError,
            r"task2 of ann/model has no score \(F0 is too small\), which leaderboards rank by",
        ),
        (
            lambda result: with_task(result, protocol="control"),
            UsageError,
            r"ann/model is a control, which has no checkpoint.*Only results of models can be pushed",
        ),
        (
            lambda result: result.model_copy(update={"model": result.model.model_copy(update={"files": {}})}),
            UsageError,
            r"ann/model is a control, which has no checkpoint",
        ),
        (lambda result: result.model_copy(update={"tasks": {}}), IncompleteError, r"the result .* contains no task"),
    ],
)
def test_what_would_mislead_is_refused(make_result, spoil, error, message):
    with pytest.raises(error, match=message):
        require_publishable([spoil(make_result())])


def test_two_results_of_a_task_are_refused(make_result):
    with pytest.raises(UsageError, match=rf"several results of task2 on {DATASET} are for one repo.*push only one"):
        require_publishable([make_result("task1", "task2"), make_result("task2", revision="b" * 40)])


def test_the_data_set_declares_the_ids(hub_result):
    require_benchmark(hub_result("task1", "task4"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"README.md": b"# Data\n"},
            r"has no eval\.yaml, so no results can be pushed for it.*dataset_builders publish DIR",
        ),
        (
            {"eval.yaml": eval_yaml(["task1"]).encode()},
            r"eval\.yaml .* does not declare task2_score; it declares task1_score",
        ),
        ({"eval.yaml": b"- a\n"}, r"does not declare task2_score.*it declares nothing"),
        ({"eval.yaml": b"tasks: [1, {config: a}]\n"}, r"does not declare task2_score.*it declares nothing"),
        ({"eval.yaml": b"tasks: ["}, r"eval\.yaml of data set compgen/other is not YAML"),
        ({"eval.yaml": "tasks: Å".encode("latin-1")}, r"eval\.yaml of data set compgen/other is not UTF-8"),
    ],
)
def test_a_data_set_that_is_no_benchmark_is_refused(hub, make_result, files, message):
    commit = hub.add_repo("compgen/other", "dataset", files)
    with pytest.raises(DataError, match=message):
        require_benchmark(make_result(revision=commit, dataset={"id": "compgen/other"}))


def test_the_ids_count_at_the_commit_that_was_measured(hub, hub_result):
    hub.commit(DATASET, "dataset", {}, deletions=["eval.yaml"])
    require_benchmark(hub_result())


def test_an_absent_data_set_or_commit_is_refused(hub, make_result):
    with pytest.raises(DataError, match=f"there is no data set {DATASET} on the Hub that you may read"):
        require_benchmark(make_result())
    hub.add_repo(DATASET, "dataset", {"eval.yaml": b""})
    with pytest.raises(DataError, match=rf"data set {DATASET} has no revision '{COMMIT}'"):
        require_benchmark(make_result())


def test_model_files_are_found_by_their_content(hub, make_result):
    hub.add_repo(MODEL, files={f"sub/{name}": content for name, content in FILES.items()} | {"config.json": b"{}"})
    listing = list_files(Repo(MODEL, "model"), None)
    assert find_model_files(make_result(), listing) == ["sub/config.json", "sub/model.safetensors"]


def test_of_equal_files_the_one_of_the_name_is_meant(hub, make_result):
    hub.add_repo(MODEL, files={"a.safetensors": WEIGHTS, "b.safetensors": WEIGHTS, "c/b.safetensors": WEIGHTS})
    listing = list_files(Repo(MODEL, "model"), None)
    for name, path in {"b.safetensors": "b.safetensors", "d.safetensors": "a.safetensors"}.items():
        assert find_model_files(make_result(model={"files": {name: sha256(WEIGHTS)}}), listing) == [path]


@pytest.mark.parametrize("spoilt", ["model.safetensors", "config.json"])
def test_other_files_are_refused(hub, make_result, spoilt):
    hub.add_repo(MODEL, files=FILES | {spoilt: b"other \0 content"})
    listing = list_files(Repo(MODEL, "model"), None)
    with pytest.raises(
        ModelError, match=rf"does not belong to the files in model ann/model at \w+: .*{spoilt} .*--repo, or evaluate"
    ):
        find_model_files(make_result(), listing)


def test_a_model_of_the_hub_is_named_by_its_own_commit(hub, make_result):
    hub.add_repo(MODEL, files=FILES)
    listing = list_files(Repo(MODEL, "model"), None)
    assert pinned_model(make_result(), listing) == f"{MODEL}@{'c' * 40}"
    inside = make_result(model={"id": f"{MODEL}/sub/a.model"})
    assert (hub_repo_of(inside), pinned_model(inside, listing)) == (MODEL, f"{MODEL}@{'c' * 40}/sub/a.model")


def test_a_model_from_here_is_named_by_the_commit_that_changed_it_last(hub, make_result):
    hub.add_repo(MODEL, files={"config.json": FILES["config.json"]})
    weights = hub.commit(MODEL, "model", {"model.safetensors": WEIGHTS})
    hub.commit(MODEL, "model", {"README.md": b"# Later\n"})
    result = make_result(model={"id": "some/folder", "revision": None})
    assert hub_repo_of(result) is None
    assert pinned_model(result, list_files(Repo(MODEL, "model"), None)) == f"{MODEL}@{weights}"


def test_one_file_or_a_folder_from_here_is_named_with_its_path(hub, make_result):
    head = hub.add_repo(MODEL, files={f"sub/{name}": content for name, content in FILES.items()})
    listing = list_files(Repo(MODEL, "model"), None)
    folder = make_result(model={"id": "here", "revision": None})
    assert pinned_model(folder, listing) == f"{MODEL}@{head}/sub"
    file = make_result(model={"id": "x.model", "revision": None, "files": {"x.model": sha256(WEIGHTS)}})
    assert pinned_model(file, listing) == f"{MODEL}@{head}/sub/model.safetensors"

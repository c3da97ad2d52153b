import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import yaml_dump
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from model_cards.entries.entries import eval_results_of
from model_cards.entries.model_index import add_tag, merge_model_index
from model_cards.text.yaml_text import load_yaml
from tests.model_cards.conftest import COMMIT, DATASET, MODEL

STRANGER = """\
# Their card
license: mit   # or apache
datasets: [ "a/b" , c/d ]
model-index:
  # the name on the leaderboard
  - name: "Their model"
    results:
      # measured by them
      - task: {type: text-generation,   name: 'Text'}
        dataset:
            type: &data some/data   # four spaces
            name: Some
        metrics:
          - type: accuracy
            value: 0.90
            # not verified
            verified: false
      - task:
          type: graph-ml
        dataset:
          type: compgen/mlip-ood
          name: old
          config: task2
          split: test_id
        metrics:
          - type: mae
            value: 1
      # theirs, on another split
      - task: {type: graph-ml}
        dataset: {type: compgen/mlip-ood, name: old, config: task2, split: validation}
        metrics: [{type: mae, value: 2}]
tags:
- chemistry
# the end
"""


def client_data(front):
    return ModelCard(f"---\n{front}---\nbody\n").data


def is_subsequence(lines, of):
    rest = iter(of)
    return all(line in rest for line in lines)


def test_entries_of_others_keep_their_bytes(make_result):
    results = eval_results_of(make_result("task2"))
    front = merge_model_index(STRANGER, MODEL, results)
    replaced = STRANGER[STRANGER.index("      - task:\n          type: graph") : STRANGER.index("      # theirs, on")]
    before, after = STRANGER.split(replaced)
    assert front.startswith(before)
    assert after.split("tags:")[0] in front
    assert front.endswith("tags:\n- chemistry\n# the end\n")
    data = client_data(front)
    assert data.model_name == "Their model"
    kinds = [(each.dataset_type, each.dataset_split, each.metric_type) for each in data.eval_results]
    assert kinds == [
        ("some/data", None, "accuracy"),
        (DATASET, "test_id", "mae"),
        (DATASET, "test_id", "mae"),
        (DATASET, "validation", "mae"),
        *[(DATASET, "test_ood", kind) for kind in ("score", "mae", "gap", "mae")],
    ]
    assert merge_model_index(front, MODEL, results) == front


def test_a_card_without_index_gets_one_that_the_client_reads_back(make_result):
    results = eval_results_of(make_result("task2", "task3"))
    front = merge_model_index("license: mit\n", MODEL, results)
    assert front.startswith("license: mit\nmodel-index:\n- name: ann/model\n")
    data = client_data(front)
    assert data.model_name == MODEL
    assert data.eval_results == results
    first = data.eval_results[0]
    assert (first.task_type, first.task_name) == ("graph-ml", "fragment duplication")
    assert (first.dataset_name, first.dataset_config, first.dataset_revision) == ("mlip-ood task2", "task2", COMMIT)
    assert [each.metric_name for each in results[:6]] == [
        "score, 0 to 100",
        "OOD force MAE, meV/Å",
        "gap, OOD / ID force MAE",
        "OOD relative energy MAE, meV",
        "ID force MAE, meV/Å",
        "ID relative energy MAE, meV",
    ]


def test_results_of_another_task_are_added_and_of_the_same_replaced(make_result):
    first = merge_model_index("", MODEL, eval_results_of(make_result("task2")))
    both = merge_model_index(first, MODEL, eval_results_of(make_result("task3")))
    assert both.startswith(first)
    assert both == merge_model_index("", MODEL, eval_results_of(make_result("task2", "task3")))
    newer = eval_results_of(make_result("task2", revision="b" * 40))
    assert client_data(merge_model_index(both, MODEL, newer)).eval_results[:6] == newer


@pytest.mark.parametrize(
    ("front", "name"),
    [("model_name: Given\n", "Given"), ("model-index:\n", MODEL), ("model-index: []\n", MODEL), ("", MODEL)],
)
def test_the_name_of_a_new_index(make_result, front, name):
    assert client_data(merge_model_index(front, MODEL, eval_results_of(make_result()))).model_name == name


def test_of_several_models_the_one_of_the_name_is_taken(make_result):
    results = eval_results_of(make_result())
    index = "model-index:\n- name: other\n  results: []\n- name: {}\n  results: []\n"
    named = load_yaml(merge_model_index(index.format("model"), MODEL, results), "")["model-index"]
    assert [len(model["results"]) for model in named] == [0, 2]
    foreign = load_yaml(merge_model_index(index.format("third"), MODEL, results), "")["model-index"]
    assert [(model["name"], len(model["results"])) for model in foreign] == [("other", 0), ("third", 0), (MODEL, 2)]


def test_the_only_model_takes_the_results_whatever_its_name(make_result):
    front = "model-index:\n- name: other\n  results: []\n"
    index = load_yaml(merge_model_index(front, MODEL, eval_results_of(make_result())), "")["model-index"]
    assert [(model["name"], len(model["results"])) for model in index] == [("other", 2)]


@pytest.mark.parametrize("index", ["12", "{a: 1}", "[1]", "[{name: a}]", "[{name: a, results: 3}]"])
def test_an_index_that_is_none_is_refused(make_result, index):
    with pytest.raises(
        DataError, match=r"model-index in the YAML .* is not a list of models with `name` and `results`"
    ):
        merge_model_index(f"model-index: {index}\n", MODEL, eval_results_of(make_result()))


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("", "tags:\n- mlip-ood\n"),
        ("license: mit\n", "license: mit\ntags:\n- mlip-ood\n"),
        ("tags:\n- a   # why\n# next\nlicense: mit\n", "tags:\n- a   # why\n- mlip-ood\n# next\nlicense: mit\n"),
        ("tags:\n  - a\n  - mlip-ood\n", "tags:\n  - a\n  - mlip-ood\n"),
        ("tags: [ a,b ]\n", "tags: [ a,b, mlip-ood ]\n"),
        ("tags: chemistry # one\n", "tags: [chemistry, mlip-ood] # one\n"),
        ("tags: mlip-ood\n", "tags: mlip-ood\n"),
        ("tags:\n", "tags:\n- mlip-ood\n"),
    ],
)
def test_the_tag_is_added_once(front, expected):
    assert add_tag(front, "mlip-ood") == expected
    assert add_tag(expected, "mlip-ood") == expected


def test_tags_that_are_none_are_refused():
    with pytest.raises(DataError, match=r"tags in the YAML .* is 12; expected a list"):
        add_tag("tags: 12\n", "mlip-ood")


values = st.recursive(
    st.one_of(st.text(max_size=12), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)
others = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), values, max_size=4)
their_results = st.lists(
    st.fixed_dictionaries(
        {
            "task": st.just({"type": "t"}),
            "dataset": st.fixed_dictionaries({"type": st.sampled_from(["x/y", DATASET]), "name": st.text(max_size=8)}),
            "metrics": st.lists(st.fixed_dictionaries({"type": st.just("mae"), "value": st.floats(0, 9)}), max_size=2),
        }
    ),
    max_size=2,
)


@settings(deadline=None, max_examples=40)
@given(others, their_results, st.lists(st.text("ab", min_size=1), max_size=2), st.booleans())
def test_whatever_else_a_card_says_stays(make_front_results, data, theirs, tags, comments):
    data = (
        data
        | ({"tags": tags} if tags else {})
        | ({"model-index": [{"name": "n", "results": theirs}]} if theirs else {})
    )
    front = yaml_dump(data, sort_keys=False) if data else ""
    if comments:
        front = "# first\n" + front.replace("tags:\n", "# about tags\ntags:  \n")
    result = merge_model_index(add_tag(front, "mlip-ood"), MODEL, make_front_results)
    assert is_subsequence(front.splitlines(), result.splitlines())
    found = load_yaml(result, "")
    untouched = load_yaml(front, "") or {}
    assert {**found, "tags": 0, "model-index": 0} == {**untouched, "tags": 0, "model-index": 0}
    assert found["model-index"][0]["results"][: len(theirs)] == (
        untouched["model-index"][0]["results"] if theirs else []
    )
    assert found["tags"] == [*tags, "mlip-ood"]


@pytest.fixture(scope="session")
def make_front_results(measured):
    from tests.harness.results.test_result import result_of

    result = result_of({"task2": measured["task2"]})
    data = result.dataset.model_copy(update={"id": DATASET, "revision": COMMIT})
    return eval_results_of(result.model_copy(update={"dataset": data}))

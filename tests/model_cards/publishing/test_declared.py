"""Models of other programs that say what they were trained on, from the Hub and to the Hub."""

import json

import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.core.errors import DataError, ModelError
from harness import cli
from harness.core.training_record import MAX_BYTES
from harness.data.dataset import open_dataset
from harness.models.resolve import resolve_model
from harness.models.training_declaration import declaration_for
from harness.results.result import RunResult
from model_cards.cards.section import section_text
from model_cards.entries.entries import entries_of, entries_path, read_entries
from model_cards.entries.notes import parse_notes
from model_cards.leaderboard.command import main as leaderboard
from model_cards.publishing.push import PushOptions, push_results
from model_cards.publishing.push_command import main as push
from tests.harness.conftest import tiny_dataset  # noqa: F401 (a fixture)
from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.training_records import record_of
from tests.model_cards.conftest import COMMIT, DATASET, MODEL

REPO = "org/mace"
STATED = {"training": "stated", "trained_on": "task2", "protocol": "fine-tuned", "base": "org/base"}


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    pytest.importorskip("mace")
    energies = [[-13.6, -1029.3, -1484.3, -2041.4, -2713.5]]
    model = small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 9], atomic_energies=energies)
    return saved(model, tmp_path_factory.mktemp("mace") / "m.model").read_bytes()


@pytest.fixture
def record(tiny_dataset):  # noqa: F811
    return json.dumps(record_of(tiny_dataset, "task1")).encode()


@pytest.fixture
def data(hub, tiny_dataset):  # noqa: F811
    """The commit of the tiny data set on the Hub, and ann logged in."""
    files = {path.relative_to(tiny_dataset).as_posix(): path.read_bytes() for path in tiny_dataset.rglob("*.parquet")}
    hub.add_user("ann", orgs={"org": "write"})
    hub.log_in("ann")
    return hub.add_repo(DATASET, "dataset", {**files, "eval.yaml": eval_yaml(["task1", "task4"]).encode()})


def test_the_file_of_a_repo_is_fetched_with_its_checkpoint(hub):
    hub.add_repo(REPO, files={"a/m.model": b"weights", "mlip-ood.json": b"{}", "b/mlip-ood.json": b"[]"})
    source = resolve_model(REPO)
    assert source.record is not None
    assert source.record.read_bytes() == b"{}"
    assert source.record.parent.name == source.revision
    hub.commit(REPO, "model", {"a/m.model.mlip-ood.json": b"beside"})
    assert resolve_model(f"{REPO}/a/m.model").record.read_bytes() == b"beside"
    assert not any("/b/mlip-ood.json" in request.path for request in hub.log if "/resolve/" in request.path)


def test_a_huge_file_is_refused_before_it_is_downloaded(hub):
    hub.add_repo(REPO, files={"m.model": b"weights", "mlip-ood.json": b" " * (MAX_BYTES + 1)})
    with pytest.raises(
        ModelError, match=r"mlip-ood\.json of model org/mace has 8,388,609 bytes; expected at most 8,388,608"
    ):
        resolve_model(REPO)
    assert not any("/resolve/" in request.path for request in hub.log)


@pytest.mark.slow
def test_the_whole_way_round_the_hub(hub, data, weights, record, tmp_path, capsys):
    hub.add_repo(REPO, files={"m.model": weights, "mlip-ood.json": record, "README.md": b"---\nlicense: mit\n---\n"})
    command = ["--model", REPO, "--dataset", f"{DATASET}@{data}", "--output", str(tmp_path), "--trust-checkpoint"]
    assert cli.main([*command, "--quiet", "--push"]) == 0
    (path,) = tmp_path.glob("*/*/result.json")
    result = RunResult.load(path)
    assert (result.model.protocol, result.model.training, [*result.tasks]) == ("from-scratch", "stated", ["task1"])
    assert {*result.model.files} == {"m.model", "mlip-ood.json"}
    files = hub.files(REPO, "model")
    notes = parse_notes(read_entries(files[entries_path(result.dataset.edition)].decode())[0].notes)
    expected = {"protocol": "from-scratch", "trained on": "task1", "training": "stated", "stated by": "mlip-ood.json"}
    assert {key: notes.get(key) for key in expected} == expected
    card = files["README.md"].decode()
    assert "| from-scratch, stated |" in card
    assert "protocol from-scratch, trained on `task1`, stated, by mlip-ood.json" in card
    assert "--trained-on" not in card
    capsys.readouterr()
    assert leaderboard(["--dataset", DATASET]) == 0
    shown = capsys.readouterr().out
    assert "from-scratch, stated" in " ".join(shown.split())
    assert "stated: the publisher states what the model was trained on" in " ".join(shown.split())


def test_a_result_of_files_here_needs_the_file_in_the_repo(hub, data, weights, record, tmp_path):
    (tmp_path / "mine.model").write_bytes(weights)
    (tmp_path / "mine.model.mlip-ood.json").write_bytes(record)
    command = ["--model", str(tmp_path / "mine.model"), "--dataset", f"{DATASET}@{data}", "--trust-checkpoint"]
    assert cli.main([*command, "--quiet", "--output", str(tmp_path / "results")]) == 0
    (path,) = (tmp_path / "results").glob("*/*/result.json")
    result = RunResult.load(path)
    head = hub.add_repo(REPO, files={"sub/m.model": weights, "README.md": b""})
    options = PushOptions(repo=REPO, dry_run=True)
    with pytest.raises(ModelError, match=r"computed with mine\.model\.mlip-ood\.json \(sha256"):
        push_results([result], options)
    head = hub.commit(REPO, "model", {"mlip-ood.json": record})
    (done,) = push_results([result], options).repos
    assert f"model: {REPO}@{head}/sub/m.model;" in " ".join(done.plan.replace("+", " ").split())


def test_the_command_on_the_card_states_what_the_user_stated(make_result):
    result = make_result(model=STATED | {"level_of_theory": "GFN2-xTB"})
    tuned = {name: task.model_copy(update={"protocol": "fine-tuned"}) for name, task in result.tasks.items()}
    result = result.model_copy(update={"tasks": tuned})
    text = section_text(entries_of(result, f"{MODEL}@{'c' * 40}"))
    assert (
        f"--dataset {DATASET}@{COMMIT} --task task2 --trained-on task2 --protocol fine-tuned --base org/base --family"
    ) in text
    assert "trained on `task2`, started from `org/base`, stated, by the user" in text


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"training": "proved", "trained_on": "task2", "protocol": "from-scratch"},
            "on `task2`, proved by its checkpoint, precision",
        ),
        ({"level_of_theory": None}, "protocol zero-shot, its training not stated, precision"),
        ({"level_of_theory": "PBE"}, "protocol zero-shot, precision"),
        (
            STATED | {"unchecked": "trained on edition mini, not checked here"},
            "the user, trained on edition mini, not c",
        ),
    ],
)
def test_the_card_says_what_a_protocol_stands_on(make_result, model, sentence):
    assert sentence in section_text(entries_of(make_result(model=model), f"{MODEL}@{'c' * 40}"))


def test_a_dry_run_asks_about_a_model_that_says_nothing(hub, own_repo, hub_result, tmp_path, capsys, caplog):
    question = (
        "ann/model does not state its training and is taken as zero-shot. If it was trained on a task of this bench"
    )
    hub_result().save(tmp_path / "result.json")
    assert push([str(tmp_path / "result.json"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"\nann/model: question: {question}" in shown
    assert "training: not stated;" in " ".join(shown.replace("\n+", " ").split())
    assert push([str(tmp_path / "result.json")]) == 0
    assert question in caplog.text
    hub_result("task3", model={"level_of_theory": "PBE"}).save(tmp_path / "result.json")
    assert push([str(tmp_path / "result.json"), "--dry-run"]) == 0
    assert "question" not in capsys.readouterr().out


def test_a_data_set_that_is_read_on_the_hub_is_compared_too(hub, data, record, tmp_path):
    (tmp_path / "m.model").write_bytes(b"weights")
    (tmp_path / "mlip-ood.json").write_bytes(record)
    source = resolve_model(str(tmp_path / "m.model"))
    address = f"hf://datasets/{DATASET}@{data}"
    found = declaration_for(source, None, [open_dataset(address)])
    assert (found.statement.task, found.unchecked) == ("task1", None)
    other = json.loads(record)
    other["dataset"]["content_hash"] = "0" * 64
    (tmp_path / "mlip-ood.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match="content 000000000000"):
        declaration_for(source, None, [open_dataset(address)])

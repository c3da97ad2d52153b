import json
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.tasks.regions import TASKS
from harness.cli import main
from harness.core.training_record import RECORD_NAME
from harness.method.claims import claim_of, require_claims, require_distinct
from harness.method.document import METHOD_NAME, MethodResult
from harness.method.source import find_method
from harness.method.statement import agreed, read_statement, statement_for_all
from harness.models.training_declaration import Statement
from tests.harness.training_records import record_of, write_record

FROM_SCRATCH = Statement("task1", "from-scratch")


def method_in(root: Path):
    return find_method(str(root), [*TASKS])


@pytest.fixture
def foreign(tmp_path):
    """A method of files that say nothing of their training, and are never loaded."""
    root = tmp_path / "foreign"
    for number, place in enumerate(("task1/seed0", "task1/seed1", "task2")):
        (root / place).mkdir(parents=True)
        (root / place / "my.model").write_bytes(b"weights %d" % number)
    return root


def test_what_says_nothing_needs_a_statement(foreign):
    method = method_in(foreign)
    assert [member.source.family.name for member in method.members] == ["mace", "mace", "mace"]
    assert [claim_of(member) for member in method.members] == [None, None, None]
    with pytest.raises(
        UsageError, match=r"task1/seed0 of the method, .*foreign/task1/seed0, does not declare how it was"
    ):
        require_claims(method.members, None)
    require_claims(method.members, FROM_SCRATCH)


def test_a_record_counts_for_the_models_below_it(foreign, four_tasks):
    write_record(foreign / "task1" / RECORD_NAME, record_of(four_tasks, "task1"))
    write_record(foreign / "task2" / f"my.model.{RECORD_NAME}", record_of(four_tasks, "task2"))
    method = method_in(foreign)
    assert [claim_of(member).task for member in method.members] == ["task1", "task1", "task2"]
    require_claims(method.members, None)
    # The nearest one counts.
    write_record(foreign / "task1/seed1" / RECORD_NAME, record_of(four_tasks, "task2"))
    with pytest.raises(UsageError, match=r"task1/seed1 of the method is .* was trained on task2, not on task1"):
        require_claims(method_in(foreign).members, None)


def test_the_record_of_one_task_at_the_root_is_not_that_of_another(foreign, four_tasks):
    write_record(foreign / RECORD_NAME, record_of(four_tasks, "task1"))
    with pytest.raises(UsageError, match=r"task2 of the method is .* was trained on task1, not on task2"):
        require_claims(method_in(foreign).members, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocol": "fine-tuned", "base": "org/m"},
            r"protocol of task1/seed1 is from-scratch .* task2 is fine-tuned",
        ),
        ({"level_of_theory": "PBE"}, r"level of theory of task1/seed1 is MMFF94 .* task2 is PBE"),
    ],
)
def test_members_that_were_trained_differently_are_refused(foreign, four_tasks, changes, message):
    write_record(foreign / "task1" / RECORD_NAME, record_of(four_tasks, "task1"))
    write_record(foreign / "task2" / RECORD_NAME, record_of(four_tasks, "task2", **changes))
    with pytest.raises(DataError, match=message):
        require_claims(method_in(foreign).members, None)


def test_other_editions_and_other_data_of_a_task_are_refused(foreign, four_tasks):
    write_record(foreign / "task1" / RECORD_NAME, record_of(four_tasks, "task1"))
    document = record_of(four_tasks, "task2")
    write_record(foreign / "task2" / RECORD_NAME, document | {"dataset": document["dataset"] | {"edition": "standard"}})
    with pytest.raises(DataError, match=r"edition of the training data of task1/seed1 is tiny .* task2 is standard"):
        require_claims(method_in(foreign).members, None)
    write_record(foreign / "task2" / RECORD_NAME, document)
    other = record_of(four_tasks, "task1")
    changed = other | {"dataset": other["dataset"] | {"content_hash": "f" * 64}}
    write_record(foreign / "task1/seed1" / RECORD_NAME, changed)
    with pytest.raises(DataError, match=r"task1/seed0 was trained on data of content .* task1/seed1 on ffffffffffff"):
        require_claims(method_in(foreign).members, None)


def test_one_file_is_one_model(foreign):
    (foreign / "task2/my.model").write_bytes(b"weights 0")
    with pytest.raises(UsageError, match="task1/seed0 and task2 of the method have the same weights"):
        require_distinct(method_in(foreign).members)


def test_two_checkpoints_in_a_folder_are_named(foreign):
    (foreign / "task2/other.model").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"task2 contains 2 checkpoints of the family mace: my.model, other.model"):
        method_in(foreign)
    (foreign / "task2/other.model").unlink()
    (foreign / "task2/my.model").unlink()
    (foreign / "task2/notes.txt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"task2 contains no checkpoint of a known family; its files: notes.txt"):
        method_in(foreign)


def test_a_method_says_how_all_its_models_were_trained(foreign):
    path = foreign / RECORD_NAME
    path.write_text('{"schema": "mlip-ood-method/1", "protocol": "fine-tuned", "base": "org/mace"}')
    method = method_in(foreign)
    assert method.statement == Statement("task1", "fine-tuned", "org/mace")
    assert [member.source.record for member in method.members] == [None] * 3
    require_claims(method.members, method.statement)
    assert agreed(method.statement, statement_for_all("fine-tuned", "org/mace")) == method.statement
    assert agreed(None, None) is None
    assert agreed(None, FROM_SCRATCH) == FROM_SCRATCH
    with pytest.raises(UsageError, match=r"--base org/other, but the mlip-ood.json of the method states org/mace"):
        agreed(method.statement, statement_for_all("fine-tuned", "org/other"))
    with pytest.raises(
        UsageError, match=r"--protocol from-scratch, but the mlip-ood.json of the method states fine-tuned"
    ):
        agreed(method.statement, FROM_SCRATCH)


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "mlip-ood-method/2", "protocol": "from-scratch"}',
        '{"schema": "mlip-ood-method/1", "protocol": "zero-shot"}',
        '{"schema": "mlip-ood-method/1", "protocol": "from-scratch", "task": "task1"}',
        '{"schema": "mlip-ood-method/1", "protocol": "fine-tuned"}',
        '{"schema": "mlip-ood-method/1", "protocol": "fine-tuned", "base": "two\\nlines"}',
    ],
)
def test_a_statement_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / RECORD_NAME
    path.write_text(text)
    with pytest.raises(DataError, match="does not state how the models of a method were trained"):
        read_statement(path)


def test_what_is_no_statement_is_left_to_the_records(tmp_path):
    for text in ("[]", "no JSON", '{"schema": "mlip-ood-training/1"}', "[" * 100_000):
        path = tmp_path / RECORD_NAME
        path.write_text(text)
        assert read_statement(path) is None


@pytest.mark.slow
def test_mixed_families_are_said_and_what_is_stated_stays_so(foreign, trained, four_tasks, tmp_path, capsys):
    """A MACE that says so in a record beside networks that prove it."""
    pytest.importorskip("mace")
    from tests.harness.potentials.molecules import saved, small_mace

    root = tmp_path / "mixed"
    for place in ("task1/seed0", "task2"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(trained / (place if "/" in place else f"{place}/seed0"))
    (root / "task1/seed1").mkdir()
    saved(small_mace(), root / "task1/seed1/m.model")
    document = record_of(four_tasks, "task1")
    write_record(root / "task1/seed1" / RECORD_NAME, document)
    options = ["--dataset", str(four_tasks), "--output", str(tmp_path / "results"), "--quiet", "--trust-checkpoint"]
    assert main(["--method", str(root), *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "its models belong to several families: graph-pes: task1/seed0, task2; mace: task1/seed1" in shown
    assert "from-scratch, as stated by mlip-ood.json" in shown
    assert "mixed on cpu" in shown
    (path,) = (tmp_path / "results").glob(f"*/*/{METHOD_NAME}")
    model = MethodResult.load(path.parent).result.model
    assert (model.family, model.training, model.dtype) == ("graph-pes + mace", "stated", "mixed")
    assert json.loads(path.read_text())["result"]["environment"]["packages"]["mace-torch"]

"""What the options of the training command amount to."""

from dataclasses import replace

import pytest
import torch

from dataset_builders.core.errors import UsageError
from harness.networks.added import find_architecture
from harness.networks.architecture import NetworkArguments
from harness.networks.architectures import ARCHITECTURES
from harness.networks.checkpoint_format import receptive_field
from harness.train.budget import FULL_STEPS, Budget, parse_budget
from harness.train.defaults import can_be_local, limited_to, parse_architecture
from harness.train.options import folder_of, parser, settings_of
from harness.train.settings import TrainSettings

CPU = torch.device("cpu")


def settings(*options: str, device: torch.device = CPU) -> TrainSettings:
    return settings_of(parser().parse_args(["--task", "task2", *options]), None, device)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5min", Budget(minutes=5.0)),
        ("90s", Budget(minutes=1.5)),
        ("1h", Budget(minutes=60.0)),
        ("1.5 h", Budget(minutes=90.0)),
        ("7", Budget(minutes=7.0)),
        ("0.5", Budget(minutes=0.5)),
        ("full", Budget(steps=FULL_STEPS)),
    ],
)
def test_budget(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "min", "0", "0min", "-5", "5 days", "1e3", "nan", "inf", "Full"])
def test_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match=f"--budget {text}; expected a time above 0 such as 90s, 5min or 1h"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["painn", "PaiNN", "PAINN"])
def test_architectures_in_any_case(text: str) -> None:
    assert parse_architecture(text).architecture == "PaiNN"


@pytest.mark.parametrize("text", ["dimenet++", "DimeNet++"])
def test_an_architecture_with_signs(text: str) -> None:
    assert parse_architecture(text).architecture == "DimeNet++"


@pytest.mark.parametrize("text", ["painn2", "", "-local", "ani-local"])
def test_unknown_architecture(text: str) -> None:
    with pytest.raises(UsageError, match=f"unknown --arch {text}; expected one of painn schnet"):
        parse_architecture(text)


def test_a_recipe_applies_by_default() -> None:
    assert settings("--arch", "mace").arguments == find_architecture("MACE").arguments
    changed = settings("--arch", "mace", "--channels", "12", "--learning-rate", "0.5")
    assert changed.arguments == NetworkArguments(12, 8, 2, 5.0)
    assert (changed.learning_rate, changed.batch_size) == (0.5, find_architecture("MACE").batch_size)


def test_length_of_a_run() -> None:
    assert settings().budget_minutes == 40.0
    assert settings("--budget", "full").steps == FULL_STEPS
    assert (settings("--epochs", "3").epochs, settings("--epochs", "3").budget_minutes) == (3, None)
    assert (settings("--steps", "900").steps, settings("--steps", "900").budget_minutes) == (900, None)


@pytest.mark.parametrize(
    ("options", "compiles"),
    [
        (("--budget", "4min"), False),
        (("--budget", "5min"), True),
        (("--budget", "full"), True),
        (("--epochs", "1000"), False),
        (("--steps", "100000"), False),
        (("--arch", "mace", "--budget", "1h"), True),
        (("--arch", "visnet", "--budget", "1h"), False),
        (("--budget", "1h", "--compile", "never"), False),
        (("--budget", "1s", "--compile", "always"), True),
        (("--budget", "1s", "--compile"), True),
    ],
)
def test_compiles_where_it_pays(options: tuple[str, ...], compiles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.train.options.can_compile", lambda: True)
    assert settings(*options).compile is compiles
    assert settings(*options, device=torch.device("cuda", 0)).compile is (compiles and "--compile" in options)
    monkeypatch.setattr("harness.train.options.can_compile", lambda: False)
    assert settings(*options).compile is (compiles and "--compile" in options)


@pytest.mark.parametrize("architecture", ["PaiNN", "SchNet", "NequIP", "MACE"])
def test_a_local_network_reaches_3_angstrom(architecture: str) -> None:
    local = settings("--arch", f"{architecture.lower()}-local")
    assert isinstance(local.arguments, NetworkArguments)
    assert (local.arguments.layers, local.arguments.cutoff) == (1, 3.0)
    assert receptive_field(local.architecture, local.arguments) == 3.0


def test_a_receptive_field_limits_the_layers() -> None:
    shape = NetworkArguments(8, 4, 3, 2.5)
    assert limited_to("PaiNN", shape, 5.0) == NetworkArguments(8, 4, 2, 2.5)
    assert limited_to("PaiNN", shape, 7.4).layers == 2
    assert limited_to("PaiNN", shape, 100.0) == shape
    assert limited_to("PaiNN", shape, 2.0) == NetworkArguments(8, 4, 1, 2.0)
    # One hop of DimeNet++ is spent before its first round.
    assert limited_to("DimeNet++", shape, 7.5).layers == 2
    # A round of GemNet adds two hops.
    assert limited_to("GemNet", shape, 12.4).layers == 1
    assert limited_to("GemNet", shape, 12.5).layers == 2
    assert settings("--receptive-field", "4").cutoff == 4.0


def test_networks_that_reach_further_by_themselves_are_not_offered_as_local() -> None:
    """Each that is offered trains with the suffix; the others have a hop or more before their first layer."""
    assert [name for name in ARCHITECTURES if can_be_local(name)] == ["PaiNN", "SchNet", "NequIP", "MACE"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_recipe_reaches_further_than_its_limit(architecture: str) -> None:
    (name,) = [name for name in ARCHITECTURES if name == architecture]
    shape = find_architecture(name).arguments
    assert isinstance(shape, NetworkArguments)
    smallest = receptive_field(name, replace(shape, layers=1))
    for field in [field for field in (10.0, 10.5, 12.0, 15.0, 20.0, 22.0) if field >= smallest]:
        assert receptive_field(name, limited_to(name, shape, field)) <= field


def test_receptive_fields_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="--receptive-field 0; expected a length in Å above 0"):
        settings("--receptive-field", "0")
    with pytest.raises(
        UsageError, match=r"TensorNet has one hop before its first message-passing layer.* it reaches 10 Å or more"
    ):
        settings("--arch", "tensornet-local")
    with pytest.raises(UsageError, match=r"GemNet has one hop before .* it reaches 15 Å or more"):
        settings("--arch", "gemnet", "--receptive-field", "14")


def test_folder_of_a_run() -> None:
    def folder(*options: str) -> str:
        return str(folder_of(parser().parse_args(["--task", "task2", *options])))

    assert folder() == "checkpoints/painn-task2-seed0"
    assert folder("--arch", "DimeNet++", "--seed", "3") == "checkpoints/dimenet++-task2-seed3"
    assert folder("--delta", "gfn1-xtb") == "checkpoints/painn-on-gfn1-xtb-task2-seed0"
    assert folder("--init", "roitberg-group/ani2x") == "checkpoints/from-roitberg-group-ani2x-task2-seed0"
    assert folder("--out", "here") == "here"


def test_a_foundation_model_is_not_made_from_scratch() -> None:
    with pytest.raises(UsageError, match="--arch ani is a foundation model; give its checkpoint with --init"):
        settings("--arch", "ani")

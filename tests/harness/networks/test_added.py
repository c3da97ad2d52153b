"""Plug-ins by name: found, listed, and refused with the name of the package and what to do about it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.core.errors import MissingPackageError, ModelError, SetupError, UsageError
from harness.networks.added import RESERVED, added_names, find_architecture, installed_plugin, known_names
from harness.networks.architecture import Plugin
from harness.networks.architectures import ARCHITECTURES, BUILT_IN, FOUNDATIONS
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES
from harness.networks.networks import build_network
from harness.train.command import main
from harness.train.defaults import limited_to, parse_architecture
from harness.train.options import parser, settings_of
from tests.harness.installed_plugins import architecture, install

Install = Callable[..., Path]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package into a folder that is on the path as long as the test runs."""
    before = set(sys.modules)

    def put(package: str, code: str, entries: dict[str, str], folder: str = "site") -> Path:
        found = install(tmp_path / folder, package, code, entries)
        monkeypatch.syspath_prepend(found)
        return found

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("plug"):
            del sys.modules[name]


def settings(*options: str) -> Any:
    import torch

    return settings_of(parser().parse_args(["--task", "task2", "--epochs", "1", *options]), None, torch.device("cpu"))


def test_without_plug_ins_there_are_the_own_ones() -> None:
    assert added_names() == ()
    own = ("PaiNN", "SchNet", "TensorNet", "NequIP", "MACE", "DimeNet++", "ViSNet", "GemNet", "eSEN")
    assert known_names() == ARCHITECTURES == own
    assert FOUNDATIONS == ("ANI", "MACE-torch", "SO3LR")
    assert RESERVED == CONTROL_ARCHITECTURES
    assert all(find_architecture(own.name.upper()) is own for own in BUILT_IN)
    assert find_architecture("MACE").computes_with == ("graph-pes", "e3nn", "torch", "safetensors")


def test_a_plug_in_is_found_in_any_case_and_says_where_it_comes_from(plugin: Install) -> None:
    plugin("plug_a", architecture("Springy"), {"Springy": "ARCHITECTURE"})
    assert added_names() == ("Springy",)
    assert "plug_a" not in sys.modules  # a name costs no import
    found = find_architecture("springy")
    assert found.plugin == Plugin("plug_a", "1.0")
    assert found.computes_with == ("plug_a", "torch", "safetensors")
    assert parse_architecture("SPRINGY-local").is_local
    assert "springy" in parser().format_help()


def test_arguments_from_options_and_files(plugin: Install, tmp_path: Path) -> None:
    plugin("plug_a", architecture("springy"), {"springy": "ARCHITECTURE"})
    assert settings("--arch", "springy").arguments == {
        "width": 8,
        "scale": 1.0,
        "kind": "plain",
        "biased": True,
        "cutoff": 4.0,
    }
    (tmp_path / "net.toml").write_text('width = 3\nkind = "round"\nscale = 2')
    (tmp_path / "net.json").write_text('{"width": 4}')
    chosen = settings("--arch", "springy", "--config", str(tmp_path / "net.toml"), "--set", "biased=False")
    assert chosen.arguments == {"width": 3, "scale": 2.0, "kind": "round", "biased": False, "cutoff": 4.0}
    assert settings("--arch", "springy", "--config", str(tmp_path / "net.json")).arguments["width"] == 4
    assert settings("--arch", "springy", "--cutoff", "3").cutoff == 3.0
    assert settings("--arch", "springy", "--receptive-field", "2.5").cutoff == 2.5
    assert settings("--arch", "painn", "--set", "layers=2").arguments.layers == 2
    assert (settings("--arch", "springy").batch_size, settings("--arch", "springy").learning_rate) == (4, 1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "widht=3"), "springy of the plug-in plug_a 1.0: arguments unknown: widht; expected width"),
        (("--channels", "3"), "arguments unknown: channels; expected width scale kind biased cutoff"),
        (("--set", "width=many"), "width is 'many'; expected a whole number"),
        (("--set", "width=2.5"), "width is '2.5'; expected a whole number"),
        (("--set", "scale=nan"), "scale is nan; expected a finite number"),
        (("--set", "biased=perhaps"), "biased is 'perhaps'; expected true or false"),
        (("--set", "width=0"), "width 0; expected 1 or more, with width=0"),
        (("--set", "cutoff=-1"), "cutoff is -1.0; expected a length in Å above 0"),
        (("--set", "width"), "--set width; expected NAME=VALUE, with NAME one of width scale"),
        (("--config", "absent.toml"), r"--config absent.toml cannot be read .* expected TOML, or JSON"),
    ],
)
def test_arguments_that_it_does_not_take(plugin: Install, options: tuple[str, ...], message: str) -> None:
    plugin("plug_a", architecture("springy"), {"springy": "ARCHITECTURE"})
    with pytest.raises(UsageError, match=message):
        settings("--arch", "springy", *options)


@pytest.mark.parametrize("text", ["[1]", "{", '{"width": [1]}', '{"other": 1}'])
def test_files_that_are_no_arguments(plugin: Install, tmp_path: Path, text: str) -> None:
    plugin("plug_a", architecture("springy"), {"springy": "ARCHITECTURE"})
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(UsageError, match=r"net.json|plug_a 1.0: (width is \[1\]|arguments unknown: other)"):
        settings("--arch", "springy", "--config", str(tmp_path / "net.json"))


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(UsageError, match=r"unknown --arch springy; expected one of painn .*docs/architectures.md"):
        settings("--arch", "springy")
    with pytest.raises(UsageError, match=r"unknown architecture 'springy'; .* by an entry point of the group mlip_ood"):
        find_architecture("springy")


BROKEN = {
    "raises": ("raise RuntimeError('no luck')", r"'springy' of plug_b cannot be loaded \(RuntimeError: no luck\)"),
    "ends": ("raise SystemExit(3)", r"cannot be loaded \(SystemExit: 3\); correct that package, or uninstall it"),
    "imports": ("import absent_module", r"ModuleNotFoundError: No module named 'absent_module'"),
    "lacks": ("", r"'springy' of plug_b cannot be loaded \(AttributeError"),
    "function": ("def ARCHITECTURE(): pass", "is a function; expected a harness.networks.architecture.Architecture"),
    "name": (architecture("other"), "its architecture has the name 'other'; expected that of the entry point"),
    "family": (architecture("springy", more=", family='mace'"), "its family is 'mace'; expected 'plugin'"),
    "package": (
        architecture("springy", more=", packages=('absent',)"),
        "needs the package 'absent', which is not inst",
    ),
    "batch": (architecture("springy").replace("batch_size=4", "batch_size=0"), "batch_size is 0"),
    "build": (architecture("springy").replace(", build,", ", 'build',"), "build is 'build'; expected a function"),
    "arguments": (
        architecture("springy").replace("Arguments()", "{'cutoff': 4.0}"),
        "expected an instance of a frozen",
    ),
    "melting": (architecture("springy").replace("(frozen=True)", ""), "expected an instance of a frozen dataclass"),
    "lists": (
        architecture("springy").replace('kind: str = "plain"', "kind: tuple = ()"),
        "argument kind has the default ()",
    ),
    "cutoff": (architecture("springy").replace("cutoff: float", "reach: float"), "expected a cutoff, Å, among them"),
    "environment": (architecture("springy", more=", environment='mace'"), "environment is 'mace' and hops_per_layer"),
    "hops": (architecture("springy", more=", hops_per_layer=0"), "hops_per_layer is 0; expected None and 1 or more"),
    "field": (architecture("springy").replace("=1)", "=0)"), "its receptive field is unknown"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_named_and_stops_nobody_else(plugin: Install, case: str) -> None:
    code, message = BROKEN[case]
    plugin("plug_b", code, {"springy": "ARCHITECTURE"})
    assert settings("--arch", "painn").architecture == "PaiNN"
    parser().format_help()
    with pytest.raises(SetupError, match=message.replace("()", r"\(\)")):
        find_architecture("springy")


def test_two_plug_ins_of_one_name(plugin: Install) -> None:
    for package in ("plug_c", "plug_d"):
        plugin(package, architecture("springy"), {"springy": "ARCHITECTURE"}, folder=package)
    message = "'springy' of plug_. and the entry point 'springy' of plug_. add architectures of the same name, springy"
    for call in (lambda: find_architecture("springy"), added_names, lambda: main(["--task", "task2"])):
        with pytest.raises(SetupError, match=message):
            call()
    with pytest.raises(SetupError, match=message):
        installed_plugin("springy", "plug_c", "checkpoint")


@pytest.mark.parametrize("name", ["painn", "MACE", "ani", "knn"])
def test_the_name_of_a_built_in(plugin: Install, name: str) -> None:
    plugin("plug_e", architecture(name), {name: "ARCHITECTURE"})
    with pytest.raises(
        SetupError, match=f"'{name}' of plug_e adds an architecture {name}, but mlip-ood has its own of"
    ):
        main(["--task", "task2", "--arch", "schnet"])


def test_a_package_that_is_found_twice_adds_its_architecture_once(plugin: Install) -> None:
    for folder in ("first", "second"):
        plugin("plug_a", architecture("springy"), {"springy": "ARCHITECTURE"}, folder=folder)
    assert added_names() == ("springy",)
    assert find_architecture("springy").plugin == Plugin("plug_a", "1.0")


def test_what_a_plug_in_sets_is_set_back(plugin: Install, capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    loud = "print('a package that talks')\nimport torch\ntorch.set_default_dtype(torch.float64)\n"
    plugin("plug_f", loud + architecture("springy"), {"springy": "ARCHITECTURE"})
    network = build_network("springy", settings("--arch", "springy").arguments, (1, 6))
    assert torch.get_default_dtype() == torch.float32
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            "    raise KeyError('width')",
            ModelError,
            r"springy of the plug-in plug_g 1.0 cannot be built with Arguments",
        ),
        ("    raise SystemExit(1)", ModelError, "SystemExit: 1; correct the arguments or the plug-in"),
        (
            "    import absent_library",
            SetupError,
            "needs a package that is not installed: .*'absent_library'; install it",
        ),
        ("    return 3", ModelError, "builds an object of type int; expected a torch.nn.Module"),
    ],
)
def test_a_network_that_cannot_be_built(plugin: Install, body: str, kind: type[Exception], message: str) -> None:
    plugin("plug_g", architecture("springy", body), {"springy": "ARCHITECTURE"})
    with pytest.raises(kind, match=message):
        build_network("springy", settings("--arch", "springy").arguments, (1, 6))


def test_an_element_that_it_says_it_does_not_know(plugin: Install) -> None:
    code = architecture("springy", more=", elements=frozenset({1, 6})")
    plugin("plug_g", code, {"springy": "ARCHITECTURE"})
    with pytest.raises(ModelError, match=r"plug_g 1.0 has no embedding for N Cl; it supports H C. Choose a task"):
        build_network("springy", settings("--arch", "springy").arguments, (1, 6, 7, 17))


def test_a_network_that_sees_every_atom_cannot_be_local(plugin: Install) -> None:
    plugin("plug_g", architecture("springy", more=", sees_all=True"), {"springy": "ARCHITECTURE"})
    assert find_architecture("springy").receptive_field(4.0, 1) is None
    with pytest.raises(UsageError, match="cannot limit springy, in which each atom sees all"):
        settings("--arch", "springy-local")
    assert limited_to("PaiNN", find_architecture("PaiNN").arguments, 10.0).layers == 2


def test_a_library_of_a_built_in_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graph_pes", None)
    with pytest.raises(MissingPackageError, match=r"A PaiNN network needs the package 'graph-pes'"):
        build_network("PaiNN", find_architecture("PaiNN").arguments, (1, 6))

"""The example package of docs/architectures.md: installed, trained, killed, gone on with, and evaluated."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dataset_builders.core.errors import ModelError, UsageError
from harness.cli import main
from harness.core.potential import LoadOptions
from harness.models.resolve import resolve_model
from harness.networks.added import find_architecture
from harness.networks.checkpoint_format import read_config
from harness.networks.compiling import compiled
from harness.networks.finished import STATE_FILE
from harness.networks.networks import build_network
from harness.results.result import RunResult
from harness.train.command import main as train
from harness.train.gradient import loss_and_gradient
from harness.train.packed_frames import batches
from harness.train.task_data import read_training_data
from harness.worker.loading import loaded
from model_cards.cards.model_card import render_card
from tests.harness.potentials.molecules import molecules
from tests.harness.training_set import CUTOFF, write_training_set

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "docs" / "examples" / "architecture_package"
OPTIONS = ("--task", "task2", "--arch", "gaussnet", "--steps", "60", "--validations", "6", "--device", "cpu")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, as its users would install it."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "package")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(folder), str(source)], check=True, capture_output=True, timeout=200)
    return folder


def environment_of(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{site}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def checkpoint(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a training that nothing stopped."""
    out = tmp_path_factory.mktemp("trained") / "whole"
    done = run(out.parent, site, "train", *OPTIONS, "--set", "gaussians=8", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def run(cwd: Path, site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env=environment_of(site),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets this process, and its workers, find the package."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    yield
    for name in [name for name in sys.modules if name.startswith("mlip_ood_gaussnet")]:
        del sys.modules[name]


def test_the_training_command_lists_it(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = " ".join(run(tmp_path, site, "train", "--help").stdout.split())
    assert "dimenet++, visnet, gemnet*, esen*, gaussnet (plug-in)" in listed
    with pytest.raises(SystemExit):
        train(["--help"])
    assert "gaussnet" not in capsys.readouterr().out


def test_the_checkpoint_says_what_it_is_and_holds_no_pickle(checkpoint: Path) -> None:
    config = read_config(checkpoint)
    assert (config.family, config.architecture, config.protocol, config.trained_on) == (
        "plugin",
        "gaussnet",
        "from-scratch",
        "task2",
    )
    assert config.arguments == {"gaussians": 8, "hidden": 48, "cutoff": 5.0}
    assert config.receptive_field == 5.0
    assert config.training["versions"]["mlip-ood-gaussnet"] == "0.1.0"
    assert json.loads((checkpoint / "config.json").read_text())["plugin"] == {
        "package": "mlip-ood-gaussnet",
        "version": "0.1.0",
    }
    with safe_open(checkpoint / "model.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["mlip-ood"]) == {
            "architecture": "gaussnet",
            "package": "mlip-ood-gaussnet",
            "version": "0.1.0",
            "arguments": {"gaussians": 8, "hidden": 48, "cutoff": 5.0},
        }
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "README.md",
        "config.json",
        "mlip-ood-checkpoint.png",
        "model.safetensors",
        "validation_curve.csv",
        "validation_curve.png",
    ]


@pytest.mark.slow
def test_a_killed_training_goes_on_bit_for_bit(site: Path, checkpoint: Path, installed: None) -> None:
    out = checkpoint.parent / "killed"
    command = [sys.executable, "-m", "harness", "train", *OPTIONS, "--set", "gaussians=8", "--out", str(out)]
    process = subprocess.Popen(command, env=environment_of(site), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120.0
    while not (out / STATE_FILE).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert not read_config(out).training["finished"]
    with pytest.raises(UsageError, match="interrupted run whose arguments is"):
        train([*OPTIONS, "--set", "gaussians=9", "--out", str(out)])
    again = run(out.parent, site, "train", *OPTIONS, "--set", "gaussians=8", "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert (out / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()


@pytest.mark.parametrize("isolation", ["never", pytest.param("always", marks=pytest.mark.slow)])
def test_it_is_evaluated_as_from_scratch_on_its_task(
    checkpoint: Path,
    tmp_path: Path,
    installed: None,
    isolation: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--model", str(checkpoint), "--isolation", isolation, "--quiet", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    model = result["model"]
    assert (model["family"], model["protocol"], model["training"]) == ("plugin", "from-scratch", "stated")
    assert list(result["tasks"]) == ["task2"]
    (path,) = tmp_path.glob("results/*/*/result.json")
    assert RunResult.load(path).model.stated_by == "its checkpoint"  # and not the user
    assert model["cautions"] == []
    assert result["environment"]["packages"]["mlip-ood-gaussnet"] == "0.1.0"
    error = result["tasks"]["task2"]["splits"]["test_id"]["metrics"]["force_mae"]["value"]
    validation = read_config(checkpoint).training["best_validation"]["validation_force_mae"]
    assert error == pytest.approx(validation, rel=0.2)  # two splits of the same molecules


def test_without_the_package_the_error_says_which_to_install(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--model", str(checkpoint)]) == 4
    message = " ".join(capsys.readouterr().err.split())
    assert "has the architecture gaussnet of the package mlip-ood-gaussnet" in message
    assert "install it in this environment: pip install mlip-ood-gaussnet" in message


def test_the_same_numbers_in_a_worker_and_batched_as_alone(checkpoint: Path, installed: None) -> None:
    source, options, batch = resolve_model(str(checkpoint)), LoadOptions(device="cpu"), molecules()
    with loaded(source, options, "never") as here, loaded(source, options, "always") as there:
        first, second = here.compute(batch), there.compute(batch)
        np.testing.assert_array_equal(first.forces, second.forces)
        np.testing.assert_array_equal(first.energy, second.energy)
        alone = [here.compute(batch.slice(number, number + 1)).energy[0] for number in range(batch.n_structures)]
        np.testing.assert_allclose(first.energy, alone, rtol=1e-9)


def test_another_version_is_taken_with_a_warning(
    checkpoint: Path, tmp_path: Path, installed: None, caplog: pytest.LogCaptureFixture
) -> None:
    changed = shutil.copytree(checkpoint, tmp_path / "changed")
    tensors, config = load_file(changed / "model.safetensors"), json.loads((changed / "config.json").read_text())
    config["plugin"]["version"] = "0.0.9"
    (changed / "config.json").write_text(json.dumps(config))
    with (
        pytest.raises(ModelError, match=r'belongs to .*"0\.1\.0".*; expected .*"0\.0\.9"'),
        loaded(resolve_model(str(changed)), LoadOptions(device="cpu")),
    ):
        pass
    header = {"architecture": "gaussnet", "arguments": config["arguments"], **config["plugin"]}
    save_file(tensors, changed / "model.safetensors", {"mlip-ood": json.dumps(header, sort_keys=True)})
    with loaded(resolve_model(str(changed)), LoadOptions(device="cpu")):
        assert "trained with mlip-ood-gaussnet 0.0.9, but 0.1.0 is installed" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "other"},
            "architecture other of the package mlip-ood-gaussnet, which is not",
        ),
        (
            {"plugin": {"package": "evil", "version": "1"}},
            "package evil, .*; mlip-ood-gaussnet adds another architecture",
        ),
        ({"plugin": {"package": "a b; rm", "version": "1"}}, "plugin is .*; expected the package of the architecture"),
        (
            {"plugin": {"package": "evil"}},
            "plugin is .*; expected the package of the architecture and the version of the package",
        ),
        ({"plugin": None}, "plugin is None; expected a JSON object"),
        ({"family": "pyg"}, "architecture is 'gaussnet'; expected one of PaiNN"),
        (
            {"arguments": {"gaussians": 9, "hidden": 48, "cutoff": 5.0}},
            "belongs to .*; expected .*gaussians",
        ),
        ({"arguments": {"gaussians": 8, "hidden": 48, "cutoff": 0}}, "arguments.cutoff is 0; expected a length in Å"),
        ({"receptive_field": -1}, "receptive_field is -1; expected a length in Å above 0, or null"),
    ],
)
def test_a_config_that_was_tampered_with(
    checkpoint: Path, tmp_path: Path, installed: None, changes: dict[str, object], message: str
) -> None:
    changed = shutil.copytree(checkpoint, tmp_path / "changed")
    document = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(document | changes))
    with (
        pytest.raises(ModelError, match=message),
        loaded(resolve_model(str(changed)), LoadOptions(device="cpu")),
    ):
        pass


def test_a_training_starts_from_its_checkpoint(checkpoint: Path, tmp_path: Path, installed: None) -> None:
    options = ("--init", str(checkpoint), "--steps", "4", "--validations", "1", "--device", "cpu")
    assert train(["--task", "task3", *options, "--out", str(tmp_path / "tuned")]) == 0
    config = read_config(tmp_path / "tuned")
    assert (config.protocol, config.arguments) == ("fine-tuned", read_config(checkpoint).arguments)
    assert config.started_from is not None
    assert config.started_from["trained_on"] == ["task2"]
    with pytest.raises(UsageError, match=r"which contains \d+ of the 40 OOD molecules of task1"):
        train(["--task", "task1", *options, "--out", str(tmp_path / "seen")])


def test_what_its_network_raises_in_training_names_it(
    tmp_path: Path, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_training_set(tmp_path / "toy")
    options = ("--dataset", str(dataset), "--out", str(tmp_path / "out"), "--epochs", "2", "--device", "cpu")
    find_architecture("gaussnet")
    import mlip_ood_gaussnet.network as code

    calls, forward = [0], code.GaussNet.forward

    def failing(self: object, graph: object) -> object:
        calls[0] += graph.R.dtype != self.centres.dtype or graph.R.dtype.itemsize == 4  # type: ignore[attr-defined]
        if calls[0] > 2:
            raise ValueError("it was enough")
        return forward(self, graph)

    monkeypatch.setattr(code.GaussNet, "forward", failing)
    message = r"architecture gaussnet of the plug-in mlip-ood-gaussnet 0.1.0 failed at step 1: ValueError: it was"
    with pytest.raises(ModelError, match=message):
        train(["--task", "task2", "--arch", "gaussnet", *options])


@pytest.mark.slow
def test_it_can_be_compiled(tmp_path: Path, installed: None) -> None:
    import torch

    data = read_training_data(write_training_set(tmp_path / "toy"), "task2", CUTOFF)
    network = build_network("gaussnet", {"gaussians": 4, "hidden": 4, "cutoff": CUTOFF}, data.elements)
    plain = loss_and_gradient(network, 1.0)
    traced = compiled(plain, "gaussnet", backend="aot_eager")
    for frames in ([0, 9], [12, 3]):
        (batch,) = batches(data.train, np.array(frames), 2, CUTOFF, "cpu")
        (loss, gradient), (traced_loss, traced_gradient) = plain(batch), traced(batch)
        assert float(traced_loss) == pytest.approx(float(loss), rel=1e-6)
        for part, traced_part in zip(gradient, traced_gradient, strict=True):
            torch.testing.assert_close(traced_part, part, rtol=1e-4, atol=1e-6)


def test_its_card_says_what_to_install(checkpoint: Path) -> None:
    card = render_card(checkpoint, ())
    assert "gaussnet (plug-in mlip-ood-gaussnet 0.1.0), gaussians 8, hidden 48, cutoff 5.0" in card
    assert "`pip install mlip-ood-gaussnet==0.1.0`" in card


def test_the_page_shows_the_files_of_the_package() -> None:
    page = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")
    shown = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    code = {path.name: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*") if path.is_file()}
    assert len(shown) == 3
    for text in shown:
        assert any(text.strip() in content for content in code.values()), text

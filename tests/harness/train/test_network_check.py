"""What is found wrong with the network of a plug-in before it is trained, and what is not."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.train.network_check import check_network
from harness.train.settings import TrainSettings
from harness.train.task_data import TrainingData, read_training_data
from tests.harness.installed_plugins import NETWORK, architecture, install, network
from tests.harness.training_set import CUTOFF, write_training_set

Check = Callable[[str], None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return read_training_data(write_training_set(tmp_path_factory.mktemp("dataset") / "toy"), "task2", CUTOFF)


@pytest.fixture
def check(data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """Checks the network that a plug-in builds with some code."""

    def run(body: str) -> None:
        code = architecture("springy", body)
        monkeypatch.syspath_prepend(install(tmp_path / "site", "plug_n", code, {"springy": "ARCHITECTURE"}))
        arguments = {"width": 8, "scale": 1.0, "kind": "plain", "biased": True, "cutoff": CUTOFF}
        check_network(TrainSettings("springy", arguments, epochs=1), data)

    yield run
    sys.modules.pop("plug_n", None)


SOUND = {
    "as it is": "",
    "a last layer of zeros": "def setup(self): [nn.init.zeros_(each) for each in self.energy[2].parameters()]",
    "a column": "def forward(self, graph): return {'local_energies': self.energy(self.density(graph)), 'other': 3}",
    "constants in single precision": "def forward(self, graph):\n"
    "    return {'local_energies': self.energy(self.density(graph).float().double()).view(-1)}",
    "dropout": "def forward(self, graph):\n"
    "    hidden = nn.functional.dropout(self.density(graph), 0.1, self.training)\n"
    "    return {'local_energies': self.energy(hidden).view(-1)}",
    "a normalisation": "def setup(self): self.norm = nn.BatchNorm1d(arguments.width)\n"
    "def forward(self, graph): return {'local_energies': self.energy(self.norm(self.density(graph))).view(-1)}",
    "tied weights": "def setup(self): self.again = self.embedding",
    "large energies": "def forward(self, graph):\n"
    "    return {'local_energies': 1e4 + self.energy(self.density(graph)).view(-1)}",
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_network(check: Check, case: str) -> None:
    torch.manual_seed(5)
    check(network(SOUND[case]))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # the order of the random numbers of training is left alone


def returning(text: str) -> str:
    return f"def forward(self, graph):\n    energies = self.energy(self.density(graph)).view(-1)\n    return {text}"


UNSOUND = {
    "a tensor": (returning("energies"), r"plug_n 1.0 returns a Tensor; expected {'local_energies': tensor}"),
    "another name": (
        returning("{'energy': energies}"),
        r"a dictionary with the keys \['energy'\]; expected {'lo",
    ),
    "no tensor": (returning("{'local_energies': 3.0}"), "returns a float as local_energies"),
    "one number": (
        returning("{'local_energies': energies.sum()}"),
        r"local_energies of shape \(\) for \d+ atoms; expect",
    ),
    "three numbers": (
        returning("{'local_energies': energies[:, None] * graph.R}"),
        r"of shape \(\d+, 3\) for \d+ atoms",
    ),
    "a molecule's": (
        returning("{'local_energies': energies.new_zeros(len(graph.ptr) - 1)}"),
        r"local_energies of shape \(1,\) for",
    ),
    "single precision": (
        returning("{'local_energies': energies.float()}"),
        "torch.float32 on cpu; expected the type and",
    ),
    "whole numbers": (returning("{'local_energies': energies.long()}"), "local_energies in torch.int64 on cpu"),
    "not finite": (
        returning("{'local_energies': energies / torch.zeros_like(energies)}"),
        r"local_energies that are not finite \(\d+ of \d+",
    ),
    "forces": (
        returning("{'local_energies': energies, 'forces': graph.R}"),
        "returns forces; expected energies only",
    ),
    "no derivative": (
        returning("{'local_energies': energies.detach()}"),
        "forces that are not the derivative of its ener",
    ),
    "half a derivative": (
        "def density(self, graph): return Net.density(self, graph) + Net.density(self, graph).detach()",
        r"forces that are not the derivative .* the force is .* eV/Å, but the energy falls by",
    ),
    "rounded": (
        returning("{'local_energies': (energies * 10).round() / 10 + 0 * energies}"),
        "are not the derivative|do n",
    ),
    "no positions": (
        "def density(self, graph): return self.embedding(graph.Z)",
        "has energies that do not depend on the positions",
    ),
    "a mixed batch": (
        "def density(self, graph):\n    atoms = Net.density(self, graph)\n    return atoms + atoms.mean(0)",
        "returns different energies for a molecule in a batch",
    ),
    "noise": (
        returning("{'local_energies': energies * torch.rand(1)}"),
        "returns different energies on a second call",
    ),
    "a count": (
        "def setup(self): self.calls = 0\n"
        "def forward(self, graph):\n"
        "    self.calls += 1\n"
        "    return {'local_energies': (1 + 0.1 * self.calls) * self.energy(self.density(graph)).view(-1)}",
        "returns different energies on a second call",
    ),
    "nothing to train": ("def setup(self): self.requires_grad_(False)", "no trainable parameter: none requires"),
    "forgotten numbers": (
        "def setup(self): self.secret = [torch.rand(1, dtype=torch.float64)]\n"
        "def density(self, graph): return self.secret[0] * Net.density(self, graph)",
        "is missing from its parameters and buffers. Register it",
    ),
    "unregistered layers": (
        "def setup(self): self.layers = [nn.Linear(1, 1).double()]\n"
        "def forward(self, graph):\n"
        "    return {'local_energies': self.layers[0](self.energy(self.density(graph))).view(-1)}",
        "is missing from its parameters and buffers",
    ),
    "an element": (
        "def setup(self): self.embedding = nn.Embedding(8, arguments.width)",
        "fails on a molecule with O: IndexError: .* Embed every element that `build` receives",
    ),
    "an element by name": (
        "def forward(self, graph):\n    {1: 0, 6: 1}[int(graph.Z.max())]\n    return Net.forward(self, graph)",
        "fails on a molecule with O: KeyError: 8",
    ),
    "no second derivative": (
        "def density(self, graph):\n"
        "    class Once(torch.autograd.Function):\n"
        "        @staticmethod\n"
        "        def forward(ctx, x):\n"
        "            ctx.save_for_backward(x)\n"
        "            return x**2\n"
        "        @staticmethod\n"
        "        @torch.autograd.function.once_differentiable\n"
        "        def backward(ctx, grad):\n"
        "            return 2 * ctx.saved_tensors[0] * grad\n"
        "    return Once.apply(Net.density(self, graph))",
        "wrong second derivatives: .* but along it the loss changes by",
    ),
    "none at all": (
        "def density(self, graph):\n"
        "    class None_(torch.autograd.Function):\n"
        "        @staticmethod\n"
        "        def forward(ctx, x): return 2 * x\n"
        "        @staticmethod\n"
        "        def backward(ctx, grad):\n"
        "            if grad.requires_grad and torch.is_grad_enabled(): raise RuntimeError('once only')\n"
        "            return 2 * grad\n"
        "    return None_.apply(Net.density(self, graph))",
        "cannot be trained on forces, which needs second derivatives: RuntimeError: once only",
    ),
    "it ends": ("def forward(self, graph): raise ZeroDivisionError('by design')", "ZeroDivisionError: by design"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_network(check: Check, case: str) -> None:
    change, message = UNSOUND[case]
    with pytest.raises(ModelError, match=message) as raised:
        check(network(change))
    assert "the architecture springy of the plug-in plug_n 1.0" in str(raised.value)


def test_parameters_that_only_one_element_uses_are_no_problem(check: Check) -> None:
    check(NETWORK + "\n    return Net()\n")

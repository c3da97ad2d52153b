"""Why EquiformerV2 is not offered: `python -m tests.benchmarks.equiformer_v2 [--steps N]`.

A small EquiformerV2 of fairchem-core 1.10.0 is trained on MMFF94 forces, as the derivative of its energy, in the
environment `fairchem1` and in double precision. Printed are, for one molecule, the mean difference between that
derivative by autograd and by central differences, and how much the farthest pair within the cutoff changes the energy.
"""

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.tasks.words import word
from tests.harness.potentials.other_interpreter import Arrays, run_elsewhere

WORDS: Final = (word("OH", 4, "H"), word("CHO", 2, "H"), word("NH2", 3, "H"))
FRAMES: Final = 12
"""Frames of each molecule."""


def labelled_frames(seed: int = 0) -> Arrays:
    """Molecules shaken by 0.05 Å, with energies (eV, from that of the rest) and forces (eV/Å) of MMFF94."""
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"numbers": [], "positions": [], "energy": [], "forces": [], "n_atoms": []}
    for molecule in WORDS:
        field, rest = Mmff94(molecule.smiles), embed(molecule.smiles, 1)
        for _ in range(FRAMES):
            positions = rest + 0.05 * random.normal(size=rest.shape)
            energy, forces = field.singlepoint(positions)
            parts["numbers"].append(np.asarray(atomic_numbers_of(molecule.smiles)))
            parts["positions"].append(positions)
            parts["energy"].append(np.array([energy - field.singlepoint(rest)[0]]))
            parts["forces"].append(forces)
            parts["n_atoms"].append(np.array([len(positions)]))
    return {name: np.concatenate(each) for name, each in parts.items()}


def equiformer(arrays: Arrays, cutoff: float) -> Any:
    """Runs in the environment: the parameters of a small network, and its energies of frames at some positions, eV."""
    from types import SimpleNamespace

    import numpy as np
    import torch

    from harness.networks.fairchem1_package import import_fairchem1

    torch.manual_seed(0)
    package = import_fairchem1("equiformer_v2.equiformer_v2")
    small = {"sphere_channels": 16, "attn_hidden_channels": 16, "num_heads": 2, "attn_alpha_channels": 8}
    small |= {"attn_value_channels": 8, "ffn_hidden_channels": 16, "edge_channels": 16, "num_layers": 2}
    still = {"alpha_drop": 0.0, "drop_path_rate": 0.0, "proj_drop": 0.0, "regress_forces": False}
    graph = {"use_pbc": False, "otf_graph": False, "max_radius": cutoff, "avg_num_nodes": 1.0, "avg_degree": 12.0}
    harmonics = {"lmax_list": [2], "mmax_list": [2], "norm_type": "rms_norm_sh"}
    network = package.EquiformerV2Backbone(**small, **still, **graph, **harmonics)
    head = package.EqV2ScalarHead(network, output_name="energy", reduce="sum")
    numbers = np.split(arrays["numbers"], np.cumsum(arrays["n_atoms"])[:-1])

    def energies(frames: list[int], positions: list[torch.Tensor], reach: float = cutoff) -> torch.Tensor:
        edges, start = [], 0
        for each in positions:
            distances = torch.cdist(each.detach(), each.detach())
            edges.append(torch.nonzero((distances < reach) & (distances > 0.0)).T + start)
            start += len(each)
        n_atoms = torch.tensor([len(each) for each in positions])
        data = SimpleNamespace(
            pos=torch.cat(positions),
            atomic_numbers=torch.tensor(np.concatenate([numbers[frame] for frame in frames])),
            natoms=n_atoms,
            batch=torch.repeat_interleave(torch.arange(len(frames)), n_atoms),
            edge_index=torch.cat(edges, dim=1),
        )
        (energy,) = head(data, network(data)).values()
        return energy.view(-1)

    return [each for module in (network, head) for each in module.parameters() if each.requires_grad], energies


def train(arrays: Arrays, steps: int, parameters: Any, energies: Any) -> None:
    """Runs in the environment."""
    import numpy as np
    import torch

    bounds = np.cumsum(arrays["n_atoms"])[:-1]
    places, forces = (np.split(arrays[name], bounds) for name in ("positions", "forces"))
    optimizer, random = torch.optim.Adam(parameters, 3e-3), np.random.default_rng(0)
    for _ in range(steps):
        frames = random.choice(len(places), 4, replace=False).tolist()
        positions = [torch.tensor(places[frame]).requires_grad_() for frame in frames]
        energy = energies(frames, positions)
        slopes = torch.cat(torch.autograd.grad(energy.sum(), positions, create_graph=True))
        wanted = torch.tensor(np.concatenate([forces[frame] for frame in frames]))
        loss = (slopes + wanted).norm(dim=1).mean() + (
            energy - torch.tensor(arrays["energy"][frames])
        ).abs().mean() / 10
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()


def measure(arrays: Arrays, steps: int, cutoff: float = 5.0, step: float = 1e-4) -> Arrays:
    """Runs in the environment: trains the network, and compares its forces with central differences."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # it computes its rotations in the default type
    parameters, energies = equiformer(arrays, cutoff)
    train(arrays, steps, parameters, energies)
    frame = 5
    place = np.split(arrays["positions"], np.cumsum(arrays["n_atoms"])[:-1])[frame]
    where = torch.tensor(place).requires_grad_()

    def energy_at(positions: torch.Tensor, reach: float = cutoff) -> torch.Tensor:
        torch.manual_seed(1)  # of the rotation of each edge about itself
        return energies([frame], [positions], reach).sum()

    (slope,) = torch.autograd.grad(energy_at(where), where)
    with torch.no_grad():
        moves = step * torch.eye(where.numel()).view(-1, *where.shape)
        differences = [float(energy_at(where + each) - energy_at(where - each)) / (2.0 * step) for each in moves]
        distances = torch.cdist(where, where)
        farthest = float(distances[distances < cutoff].max())
        jump = float(energy_at(where, farthest + 1e-6) - energy_at(where, farthest - 1e-6))
    return {
        "central": np.array(differences),
        "autograd": slope.numpy().ravel(),
        "pair": np.array([farthest, jump]),
    }


def measured(steps: int) -> Arrays:
    """What `measure` returns."""
    return run_elsewhere("fairchem1", measure, labelled_frames(), [equiformer, train], steps=steps)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 80])
    for steps in parser.parse_args(argv).steps:
        found = measured(steps)
        wrong, size = (
            1000.0 * np.abs(each).mean() for each in (found["autograd"] - found["central"], found["central"])
        )
        distance, jump = found["pair"]
        print(
            f"{steps} steps: mean |autograd - central difference| {wrong:.1f} meV/Å, mean |force| {size:.0f} meV/Å; a "
            f"pair at {distance:.2f} Å changes the energy by {1000.0 * jump:.1f} meV"
        )


if __name__ == "__main__":
    main()

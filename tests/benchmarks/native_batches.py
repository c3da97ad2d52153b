"""The batched calls of the families' own packages, from structures to energies and forces.

The functions may run in the interpreter of a family's environment, so they import what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.potentials.other_interpreter import Arrays


def native_rates(arrays: Arrays, *, module: str, name: str, place: str, is_path: bool, repeats: int) -> Arrays:
    """Times of each pass over all batches, in s, and energies (eV) and forces (eV/Å) of the last one.

    Args:
        arrays: `atomic_numbers`, `positions`, `n_atoms`, and `bounds`, the first structure of each batch and the end.
        module: Adapter of the family, which reads the checkpoint.
        name: The family.
        place: The checkpoint.
        is_path: Whether that is a path.
        repeats: Passes after the first, which warms up.
    """
    import importlib
    import time
    from itertools import pairwise
    from pathlib import Path

    import numpy as np
    import torch
    from ase import Atoms

    from harness.core.potential import LoadOptions

    torch.set_num_threads(1)
    options = LoadOptions(device="cpu", trust_checkpoint=True)
    potential = importlib.import_module(module).load(Path(place) if is_path else place, options)
    ends = np.cumsum(arrays["n_atoms"])
    molecules = [
        Atoms(arrays["atomic_numbers"][end - n : end], arrays["positions"][end - n : end])
        for n, end in zip(arrays["n_atoms"], ends, strict=True)
    ]
    batches = [molecules[start:stop] for start, stop in pairwise(arrays["bounds"].tolist())]
    call = {"mace": mace_call, "torchani": torchani_call, "so3lr": so3lr_call}[name](potential)
    seconds, cpu_seconds, of_network = [], [], []
    for repeat in range(repeats + 1):
        started, used = time.perf_counter(), time.process_time()
        found = [call(batch) for batch in batches]
        if repeat:
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - used)
            of_network.append(sum(each[2] for each in found))
    return {
        "seconds": np.array(seconds),
        "cpu_seconds": np.array(cpu_seconds),
        "of_network": np.array(of_network),
        "energy": np.concatenate([each[0] for each in found]),
        "forces": np.concatenate([each[1] for each in found]),
    }


def mace_call(potential: Any) -> Any:
    """As `mace_eval_configs` does: configurations, the package's loader, and its model."""
    import time

    from mace import data
    from mace.tools import AtomicNumberTable, torch_geometric, torch_tools

    model = potential._model
    table = AtomicNumberTable([int(number) for number in model.atomic_numbers])

    def call(molecules: Any) -> Any:
        torch_tools.set_default_dtype(potential.traits.dtype)
        configurations = [data.config_from_atoms(each) for each in molecules]
        graphs = [
            data.AtomicData.from_config(each, z_table=table, cutoff=float(model.r_max)) for each in configurations
        ]
        (batch,) = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
        started = time.process_time()
        output = model(batch.to_dict(), training=False)
        seconds = time.process_time() - started
        return output["energy"].detach().numpy(), output["forces"].detach().numpy(), seconds

    return call


def torchani_call(potential: Any) -> Any:
    """Padded elements and coordinates, the ensemble with its self energies, and autograd."""
    import time

    import numpy as np
    import torch
    from torchani.utils import pad_atomic_properties

    from dataset_builders.core.units import HARTREE

    network, dtype = potential._network, getattr(torch, potential.traits.dtype)
    network.set_enabled("energy_shifter", True)

    def call(molecules: Any) -> Any:
        padded = pad_atomic_properties(
            [
                {
                    "species": torch.as_tensor(each.numbers)[None],
                    "coordinates": torch.as_tensor(each.positions, dtype=dtype)[None],
                }
                for each in molecules
            ]
        )
        started = time.process_time()
        coordinates = padded["coordinates"].requires_grad_()
        energies = network((padded["species"], coordinates)).energies
        (gradient,) = torch.autograd.grad(energies.sum(), coordinates)
        seconds = time.process_time() - started
        forces = [-HARTREE * each[: len(atoms)].numpy() for each, atoms in zip(gradient, molecules, strict=True)]
        return HARTREE * energies.detach().numpy().astype(np.float64), np.concatenate(forces), seconds

    return call


def so3lr_call(potential: Any) -> Any:
    """Configurations, the loader that the package's calculator uses, and its model."""
    import time

    from so3krates_torch.data.atomic_data import AtomicData
    from so3krates_torch.data.utils import KeySpecification, config_from_atoms
    from so3krates_torch.tools import torch_geometric, torch_tools, utils

    model = potential._model
    table = utils.AtomicNumberTable([int(number) for number in range(1, 119)])

    def call(molecules: Any) -> Any:
        torch_tools.set_default_dtype(potential.traits.dtype)
        for each in molecules:
            each.info.update(charge=0, spin=1)
        configurations = [config_from_atoms(each, key_specification=KeySpecification()) for each in molecules]
        cutoffs = {"cutoff": float(model.r_max), "cutoff_lr": float(model.r_max_lr)}
        graphs = [AtomicData.from_config(each, z_table=table, **cutoffs) for each in configurations]
        (batch,) = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
        started = time.process_time()
        output = model(batch.to_dict())
        seconds = time.process_time() - started
        return output["energy"].detach().numpy().ravel(), output["forces"].detach().numpy(), seconds

    return call

"""Small random NequIP models for tests, made by the package itself in its own environment."""

from typing import Any

from tests.harness.potentials.other_interpreter import Arrays, calculate_and_load

ELEMENTS = ["H", "C", "N", "O"]
SHIFTS = [-13.6, -1029.3, -1484.3, -2041.4]
NETWORK = {
    "_target_": "nequip.model.NequIPGNNModel",
    "seed": 3,
    "model_dtype": "float64",
    "r_max": 4.0,
    "num_layers": 2,
    "l_max": 1,
    "num_features": 4,
    "radial_mlp_width": 8,
    "avg_num_neighbors": 6.0,
    "per_type_energy_scales": 1.0,
}
NETWORKS: dict[str, dict[str, Any]] = {
    "double": {},
    "single": {"model_dtype": "float32"},
    "conditioned": {
        "per_edge_type_cutoff": {"H": 2.0, "C": {"H": 1.5, "C": 3.0}},
        "categorical_graph_field_embed": [
            {"field": "charge", "num_features": 4, "min": -1, "max": 1},
            {"field": "spin", "num_features": 4, "min": 1, "max": 3},
        ],
    },
    "renamed": {"type_names": ["Hydrogen", *ELEMENTS[1:]]},
}
"""What is different in each of the models that are made."""


def training(changes: dict[str, Any]) -> dict[str, Any]:
    """The config of a training that makes one step of length zero, so that a random model is saved."""
    names = changes.get("type_names", ELEMENTS)
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 1}
    shifts = dict(zip(names, SHIFTS, strict=True))
    return {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 1,
            "train_file_path": "frames.xyz",
            "val_file_path": "frames.xyz",
            "include_keys": ["charge", "spin"],
            "transforms": [
                {
                    "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                    "model_type_names": names,
                    "chemical_species_to_atom_type_map": dict(zip(ELEMENTS, names, strict=True)),
                },
                {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": NETWORK["r_max"]},
            ],
            "train_dataloader": loader,
            "val_dataloader": loader,
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_steps": 1,
            "logger": False,
            "num_sanity_val_steps": 0,
            "callbacks": [
                {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": ".", "filename": "trained"}
            ],
        },
        "training_module": {
            "_target_": "nequip.train.NequIPLightningModule",
            "loss": {"_target_": "nequip.train.EnergyForceLoss", "coeffs": {"total_energy": 1.0, "forces": 1.0}},
            "val_metrics": {"_target_": "nequip.train.EnergyForceMetrics", "coeffs": {"forces_mae": 1.0}},
            "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.0},
            "model": {"type_names": names, "per_type_energy_shifts": shifts} | NETWORK | changes,
        },
    }


def make_and_ask(arrays: Arrays, folder: str, configs: dict[str, Any], **asked: Any) -> Arrays:
    """Runs in NequIP's environment: makes the models, and asks calculator and adapter for what is in them."""
    make_packages(arrays, folder, configs)
    return calculate_and_load(arrays, **asked)


def make_packages(arrays: Arrays, folder: str, configs: dict[str, Any]) -> None:
    """Runs in NequIP's environment: trains and packs each config, and writes one model as TorchScript."""
    import json
    import os
    import sys
    from pathlib import Path

    import numpy as np
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    os.chdir(folder)  # before the import of the training script, which takes the working directory for its own
    # Other frames than those that are predicted later: a model is compiled for the frames that it was trained on.
    positions = arrays["positions"] + np.random.default_rng(1).normal(scale=0.05, size=arrays["positions"].shape)
    frames, start = [], 0
    for n_atoms in arrays["n_atoms"]:
        part = slice(start, start := start + n_atoms)
        # A cell, since a model is compiled for the frames that it was trained on, and one without has no stress.
        atoms = Atoms(arrays["atomic_numbers"][part], positions[part], cell=20.0 * np.eye(3), pbc=False)
        atoms.info |= {"charge": 0, "spin": 1}
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((n_atoms, 3)))
        frames.append(atoms)
    write("frames.xyz", frames)
    sys.argv = ["nequip-train", "hydra.run.dir=."]
    from nequip.scripts import package, train
    from omegaconf import OmegaConf

    for name, config in configs.items():
        Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
        train.main()
        OmegaConf.clear_resolver("training_data_stats")
        Path("trained.ckpt").rename(f"{name}.ckpt")
        package.main(["build", f"{name}.ckpt", f"{name}.nequip.zip"])
    write_torchscript("double.ckpt", "double.nequip.pth")
    write_committee("double.nequip.zip", "committee.nequip.zip")


def write_torchscript(checkpoint: str, path: str) -> None:
    """As nequip-compile did before PyTorch 2.10."""
    import e3nn
    from nequip.model.inference_models.torchscript import save_torchscript_model
    from nequip.model.saved_models import load_saved_model

    e3nn.set_optimization_defaults(jit_mode="script")
    model = load_saved_model(checkpoint).eval()
    save_torchscript_model(model, {**model.metadata, "allow_tf32": "0"}, path, "cpu")


def write_committee(source: str, path: str) -> None:
    """Packs a model with a second one, whose energies between atoms are twice as large."""
    import torch
    from nequip.scripts._package_utils import _EXTERNAL_MODULES, _INTERNAL_MODULES, _MOCK_MODULES
    from torch.package import PackageExporter, PackageImporter, sys_importer

    packed = PackageImporter(source)
    first = packed.load_pickle("model", "eager_model.pkl")["sole_model"]
    second = packed.load_pickle("model", "eager_model.pkl")["sole_model"]
    second.get_submodule("model.func.per_type_energy_scale_shift").scales.mul_(2.0)
    with PackageExporter(path, importer=(packed, sys_importer)) as exporter:
        exporter.mock([f"{name}.**" for name in _MOCK_MODULES])
        exporter.extern([f"{name}.**" for name in _EXTERNAL_MODULES])
        exporter.intern([f"{name}.**" for name in _INTERNAL_MODULES])
        models = torch.nn.ModuleDict({"first": first, "second": second})
        exporter.save_pickle("model", "eager_model.pkl", models)
        exporter.save_text("model", "package_metadata.txt", packed.load_text("model", "package_metadata.txt"))


def compile_package(_: Arrays, source: str, path: str, target: str) -> Arrays:
    """Runs in NequIP's environment."""
    from nequip.scripts import compile as compilation

    compilation.main([source, path, "--mode", "aotinductor", "--device", "cpu", "--target", target])
    return {}


def own_calculator(path: str, charge: int = 0) -> Any:
    """Runs in NequIP's environment."""
    import torch
    from nequip.integrations.ase import NequIPCalculator

    def with_charge_and_spin(data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return data | {"charge": torch.tensor([[charge]]), "spin": torch.tensor([[1]])}

    is_package = path.endswith(".nequip.zip")
    load = NequIPCalculator._from_saved_model if is_package else NequIPCalculator.from_compiled_model
    calculator = load(path, device="cpu", chemical_species_to_atom_type_map=True)
    calculator.transforms.append(with_charge_and_spin)
    return calculator

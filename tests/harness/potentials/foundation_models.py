"""Checkpoints of foundation models for tests: a published one where it is at hand, else small random ones."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

HUB = Path(os.environ.get("MLIP_OOD_TEST_HUB", Path(__file__).resolve().parents[4] / "shared" / "hub"))
"""Folder with published checkpoints as `owner/repo/file`, which are too large for this repository."""

AIMNET2 = """
class: aimnet.models.AIMNet2
kwargs:
  nfeature: 8
  d2features: true
  ncomb_v: 4
  hidden: [[16], [16], [16]]
  aim_size: 16
  num_charge_channels: 1
  aev: {rc_s: 5.0, nshifts_s: 8}
  outputs:
    energy_mlp:
      class: aimnet.modules.Output
      kwargs:
        {n_in: 16, n_out: 1, key_in: aim, key_out: energy,
         mlp: {activation_fn: torch.nn.GELU, last_linear: true, hidden: [16]}}
    atomic_shift: {class: aimnet.modules.AtomicShift, kwargs: {key_in: energy, key_out: energy}}
    atomic_sum: {class: aimnet.modules.AtomicSum, kwargs: {key_in: energy, key_out: energy}}
    srcoulomb:
      class: aimnet.modules.SRCoulomb
      kwargs: {rc: 4.6, key_in: charges, key_out: energy, envelope: exp}
"""
AIMNET2_CONFIG = {
    "format_version": 2,
    "family": "wb97m-d3",
    "ensemble_size": 1,
    "cutoff": 5.0,
    "needs_coulomb": True,
    "coulomb_mode": "sr_embedded",
    "coulomb_sr_rc": 4.6,
    "coulomb_sr_envelope": "exp",
    "needs_dispersion": True,
    "d3_params": {"s6": 1.0, "s8": 0.3908, "a1": 0.566, "a2": 3.128},
    "has_embedded_lr": True,
    "implemented_species": [1, 6, 7, 8, 9, 16, 17],
    "model_yaml": AIMNET2,
}
"""The form, Coulomb and dispersion terms of AIMNet2 (wB97M-D3), with narrower layers."""


def published(name: str) -> Path:
    """A published checkpoint, given as `owner/repo/file`."""
    path = HUB / name
    if not path.is_file():
        pytest.skip(f"no {path}: the published checkpoint is not at hand (MLIP_OOD_TEST_HUB names its folder)")
    return path


def small_aimnet2(directory: Path, **changes: Any) -> Path:
    """A folder with a random AIMNet2, as on the Hub."""
    pytest.importorskip("aimnet")
    from harness.potentials.aimnet2 import importing_aimnet

    with importing_aimnet():
        import torch
        import yaml
        from aimnet.config import build_module
        from aimnet.models.utils import convert_atomic_shifts_to_float64
        from safetensors.torch import save_file

    config = AIMNET2_CONFIG | changes
    torch.manual_seed(5)
    model = build_module(yaml.safe_load(config["model_yaml"]))
    convert_atomic_shifts_to_float64(model)
    with torch.no_grad():
        # The energy of an atom grows about as the square of its number, to thousands of eV.
        model.outputs["atomic_shift"].shifts.weight.copy_(-14.3 * torch.arange(64.0)[:, None] ** 2)
    directory.mkdir(exist_ok=True)
    save_file({name: value.clone() for name, value in model.state_dict().items()}, directory / "ensemble_0.safetensors")
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory


def random_ani1x(directory: Path) -> Path:
    """The state dict of an ensemble in the form of ANI-1x."""
    pytest.importorskip("torchani")
    import torch

    from harness.networks.ani_ensembles import ENSEMBLES, assembled

    torch.manual_seed(5)
    network = assembled(ENSEMBLES["ani1x_state_dict.pt"])
    network.energy_shifter.self_energies.copy_(torch.tensor([-0.6, -38.1, -54.7, -75.2]))
    path = directory / "ani1x_state_dict.pt"
    torch.save(network.state_dict(), path)
    return path


def own_torchani(path: Path, dtype: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model that TorchANI itself makes of a state dict, which it looks for in its cache."""
    import torch
    import torchani.models

    folder = cache / "StateDicts"
    folder.mkdir(exist_ok=True)
    if not (folder / path.name).exists():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("TORCHANI_DATA_DIR", str(cache))
    make = {"ani1x_state_dict.pt": torchani.models.ANI1x, "ani2x_state_dict.pt": torchani.models.ANI2x}[path.name]
    return make(dtype=getattr(torch, dtype))

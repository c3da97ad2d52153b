"""The part of `TRAINING.md` on further training of published checkpoints with the tools of their own projects."""

from typing import Final

from harness.export.keys import RESULT_KEYS
from harness.export.recipe_files import NOT_RUN, RecipeFiles
from harness.export.reference_energies import forms

_TESTED: Final = "Tested on a small model of this project, with"


def tune_mace(files: RecipeFiles) -> str:
    """MACE, by `mace_run_train --foundation_model`."""
    e0s = forms(files.energies)["mace"]
    return f"""{_TESTED} mace-torch 0.3.16. Copy the checkpoint here as `base.model`; the model is
`runs/mace-tuned/mace-tuned.model`, without the elements that `train` lacks.

```bash
mace_run_train --name mace-tuned --foundation_model base.model --multiheads_finetuning False \\
  --work_dir runs/mace-tuned --model_dir runs/mace-tuned \\
  --train_file {files.train} --valid_file {files.validation} \\
  --energy_key {files.keys.energy} --forces_key {files.keys.forces} --E0s '{e0s}' \\
  --lr 0.0001 --batch_size 8 --valid_batch_size 64 --max_num_epochs 50 --default_dtype float64 --device cuda
```

With `--multiheads_finetuning True` it also trains on the checkpoint's original data, given by `--pt_train_file`. The
resulting model has several heads: give the one of these labels to the evaluation by `--head`.
"""


def tune_graph_pes(files: RecipeFiles) -> str:
    """graph-pes, which extracts the network from a model and drops its energies of elements."""
    mapping = f"{{{files.keys.energy}: energy, {files.keys.forces}: forces}}"
    return f"""{_TESTED} graph-pes 1.0.2. Copy the checkpoint here as `base.pt`, and save this as
`graph-pes-tuned.yaml`, with the cutoff of the checkpoint. The model is `runs/graph-pes-tuned/model.pt`.

```yaml
model:
  offset:
    +FixedOffset: {files.by_symbol}
  network:
    +load_model_component: {{path: base.pt, key: network}}
data:
  train:
    +file_dataset: {{path: {files.train}, cutoff: 5.0, property_map: {mapping}}}
  valid:
    +file_dataset: {{path: {files.validation}, cutoff: 5.0, shuffle: false, property_map: {mapping}}}
loss:
  - +PerAtomEnergyLoss: {{}}
  - +ForceRMSE: {{}}
fitting:
  trainer_kwargs: {{max_epochs: 50}}
  loader_kwargs: {{batch_size: 16}}
  optimizer: {{name: Adam, lr: 0.0001}}
general:
  root_dir: runs
  run_id: graph-pes-tuned
  torch: {{dtype: float64}}
wandb: null
```

```bash
graph-pes-train graph-pes-tuned.yaml
```
"""


def tune_nequip(files: RecipeFiles) -> str:
    """NequIP and Allegro, from a package."""
    mapping = ""
    if files.keys != RESULT_KEYS:
        mapping = f"\n  key_mapping: {{{files.keys.energy}: total_energy, {files.keys.forces}: forces}}"
    return f"""{_TESTED} nequip 0.19.1. Copy the package here as `base.nequip.zip`, and save this as
`nequip-tuned.yaml`. Elements that `train` lacks keep the reference energies of the package.

```yaml
run: [train]
data:
  _target_: nequip.data.datamodule.ASEDataModule
  seed: 0
  train_file_path: {files.train}
  val_file_path: {files.validation}{mapping}
  transforms:
    - _target_: nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper
      model_type_names: ${{type_names_from_package:${{oc.env:PWD}}/base.nequip.zip}}
    - _target_: nequip.data.transforms.NeighborListTransform
      r_max: ${{cutoff_radius_from_package:${{oc.env:PWD}}/base.nequip.zip}}
  train_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 16, shuffle: true}}
  val_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 64}}
trainer:
  _target_: lightning.Trainer
  max_epochs: 50
  callbacks:
    - _target_: lightning.pytorch.callbacks.ModelCheckpoint
      dirpath: runs/nequip-tuned
      filename: best
      monitor: val0_epoch/weighted_sum
training_module:
  _target_: nequip.train.EMALightningModule
  loss: {{_target_: nequip.train.EnergyForceLoss, coeffs: {{total_energy: 1.0, forces: 1.0}}}}
  val_metrics: {{_target_: nequip.train.EnergyForceMetrics, coeffs: {{per_atom_energy_mae: 1.0, forces_mae: 1.0}}}}
  optimizer: {{_target_: torch.optim.Adam, lr: 0.0001}}
  model:
    _target_: nequip.model.modify
    modifiers:
      - modifier: modify_PerTypeScaleShift
        shifts: {files.by_symbol}
    model:
      _target_: nequip.model.ModelFromPackage
      package_path: ${{oc.env:PWD}}/base.nequip.zip
```

```bash
nequip-train -cp "$PWD" -cn nequip-tuned hydra.run.dir=runs/nequip-tuned
nequip-package build runs/nequip-tuned/best.ckpt runs/nequip-tuned/model.nequip.zip
```
"""


def tune_sevennet(files: RecipeFiles) -> str:
    """SevenNet, by `continue`."""
    others = f", energy_key: {files.keys.energy}, force_key: {files.keys.forces}"
    keys = "" if files.keys == RESULT_KEYS else others
    return f"""{_TESTED} sevenn 0.13.0. Copy the checkpoint here as `base.pth`, and save this as
`sevennet-tuned.yaml`. The model is `runs/sevennet-tuned/checkpoint_best.pth`.

```yaml
model: {{}}
train:
  random_seed: 1
  is_train_stress: False
  epoch: 50
  optimizer: adam
  optim_param: {{lr: 0.0004}}
  scheduler: exponentiallr
  scheduler_param: {{gamma: 0.99}}
  force_loss_weight: 1.0
  per_epoch: 10
  error_record: [[Energy, RMSE], [Force, RMSE], [TotalLoss, None]]
  continue:
    checkpoint: base.pth
    reset_optimizer: True
    reset_scheduler: True
    reset_epoch: True
    use_statistic_values_of_checkpoint: False
data:
  batch_size: 16
  shift: elemwise_reference_energies  # fitted to train, since the checkpoint is of another level of theory
  scale: SCALE
  data_format_args: {{index: ':'{keys}}}
  load_trainset_path: [{files.train}]
  load_validset_path: [{files.validation}]
```

The first command copies the architecture and the scale of the checkpoint into the file:

```bash
python - <<'CODE'
import pathlib, torch, yaml

checkpoint = torch.load("base.pth", map_location="cpu", weights_only=False)
scale = checkpoint["model_state_dict"]["rescale_atomic_energy.scale"].flatten().tolist()
path = pathlib.Path("sevennet-tuned.yaml")
document = yaml.safe_load(path.read_text())
names = "cutoff channel lmax num_convolution_layer irreps_manual is_parity self_connection_type interaction_type"
document["model"] = {{name: checkpoint["config"][name] for name in names.split() if name in checkpoint["config"]}}
document["model"]["chemical_species"] = "auto"
document["data"]["scale"] = scale[0] if len(set(scale)) == 1 else scale
path.write_text(yaml.safe_dump(document))
CODE
sevenn train sevennet-tuned.yaml -w runs/sevennet-tuned
```
"""


def tune_so3lr(files: RecipeFiles) -> str:
    """SO3LR, from the weights in its package; its trainer reads extxyz under the suffix .xyz only."""
    return f"""Tested from the weights in so3krates-torch 0.2.1 (`pip install "so3krates-torch[vis]"`). Save this as
`so3lr-tuned.yaml`; the model is `runs/so3lr-tuned/so3lr-tuned.so3lr.pt`. Say `--base so3lr`.

```yaml
GENERAL:
  name_exp: so3lr-tuned
  checkpoints_dir: runs/so3lr-tuned
  model_dir: runs/so3lr-tuned
  log_dir: runs/so3lr-tuned
  default_dtype: float32
ARCHITECTURE:  # of the weights, and the long-range cutoff of its calculator
  degrees: [1, 2, 3, 4]
  r_max: 4.5
  r_max_lr: 12.0
  dispersion_energy_cutoff_lr_damping: 2.0
TRAINING:
  path_to_train_data: train.xyz
  path_to_val_data: validation.xyz
  keys: {{energy_key: {files.keys.energy}, forces_key: {files.keys.forces}}}
  pretrained_model: base.model
  finetune_choice: naive
  force_use_average_shifts: true  # energies of elements from train, since the weights are of another level of theory
  batch_size: 8
  valid_batch_size: 64
  lr: 0.0001
  num_epochs: 50
MISC:
  device: cuda
```

```bash
ln -sf {files.train} train.xyz
ln -sf {files.validation} validation.xyz
cp "$(python -c 'import importlib.resources as r; print(r.files("so3krates_torch"))')/pretrained/so3lr/so3lr.model" \\
  base.model
mkdir -p runs/so3lr-tuned
torchkrates-train --config so3lr-tuned.yaml
mv so3lr-tuned.model runs/so3lr-tuned/so3lr-tuned.so3lr.pt
```
"""


def tune_others(_files: RecipeFiles) -> str:
    """Projects whose trainers were not tested here."""
    return f"""{NOT_RUN}

- fairchem (UMA, eSEN): its recipe above is a fine-tuning.
- MatterSim: `torchrun --nproc_per_node=1 src/mattersim/training/finetune_mattersim.py` of its repo, with
  `--load_model_path`, `--train_data_path` and `--valid_data_path` (exported as extxyz with `--energy-key energy
  --forces-key forces`).
- Orb: `finetune.py` of its repo reads an ASE database (`--format ase-db`).
- Others: see their documentation. `python -m harness train --init` fine-tunes ANI and MACE without any of these.
"""

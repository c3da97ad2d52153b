"""`TRAINING.md`: the shortest command or config for each trainer, with the exported files filled in."""

from collections.abc import Callable
from typing import Final, TypeAlias

from harness.core.training_record import RECORD_NAME, TrainingRecord
from harness.export.formats import Format, FormatName
from harness.export.keys import RESULT_KEYS, LabelKeys
from harness.export.recipe_files import NOT_RUN, RecipeFiles
from harness.export.reference_energies import ENERGIES_NAME, FittedEnergies, forms
from harness.export.tuning import tune_graph_pes, tune_mace, tune_nequip, tune_others, tune_sevennet, tune_so3lr


def recipes_text(record: TrainingRecord, form: Format, keys: LabelKeys, fitted: FittedEnergies) -> str:
    """The text of `TRAINING.md`.

    Args:
        record: The training record of the export.
        form: The format.
        keys: Names of the labels.
        fitted: Reference energies of `train`.
    """
    parts = [_head(record, fitted)]
    if record.test_splits:
        parts.append(test_split_warning(record) + "\n")
    if {"train", "validation"} <= set(record.splits):
        place = {split: form.data(split) for split in record.splits}
        files = RecipeFiles(place["train"], place["validation"], keys, fitted.by_symbol, fitted.force_rms)
        parts += [_section(title, form.name, readable, text(files)) for title, readable, text in _TRAINERS]
        parts.append(_FINE_TUNING)
        parts += [_section(title, form.name, readable, text(files)) for title, readable, text in _TUNERS]
    else:
        parts.append("No recipes: training needs both `train` and `validation`, and this export lacks one.\n")
    return "\n".join(parts) + _after(record)


def test_split_warning(record: TrainingRecord) -> str:
    """A warning for exports of test splits."""
    return (
        f"This export contains {' and '.join(record.test_splits)} of {record.task}. A model trained or selected on it "
        f"can never be evaluated on {record.task}: {RECORD_NAME} lists the split, and the evaluation refuses a model "
        "with such a record."
    )


def _head(record: TrainingRecord, fitted: FittedEnergies) -> str:
    sizes = ", ".join(
        f"`{split}` {size.n_frames:,} frames of {size.n_molecules} molecules" for split, size in record.splits.items()
    )
    caution = "" if fitted.caution is None else f" Caution: {fitted.caution}."
    return (
        f"# Training on {record.config}\n\n"
        f"{sizes}; {record.level_of_theory}; data set {record.dataset.id}, edition {record.dataset.edition}. Energies "
        "are total energies in eV, forces in eV/Å, positions in Å; the molecules are neutral, closed-shell and not "
        "periodic.\n\n"
        "Run the commands in this folder. They are minimal, not tuned: choose hyper-parameters by `validation` alone. "
        "The reference energies of the elements are the least-squares fit to `train` that `python -m harness train` "
        f"uses; `{ENERGIES_NAME}` also has those of isolated atoms, where they are known.{caution}\n"
    )


def _after(record: TrainingRecord) -> str:
    return f"""
## What the model was trained on

Copy `{RECORD_NAME}` into the folder of the model, or beside a single file as `NAME.{RECORD_NAME}`. For a fine-tuned
model, change `protocol` to `fine-tuned` and `base` to the original checkpoint. Then evaluate it as a model trained on
{record.task} with

    python -m harness --model MODEL --task {record.task}

Without the file, add `--trained-on {record.task}`, and `--base CHECKPOINT` for a fine-tuned model. If the checkpoint is
a pickle, add `--trust-checkpoint`.
"""


def _section(title: str, name: FormatName, readable: tuple[FormatName, ...], text: str) -> str:
    if name in readable:
        return f"## {title}\n\n{text}"
    return f"## {title}\n\nNeeds another format: export with `--format {readable[0]}`.\n"


def _mace(files: RecipeFiles) -> str:
    e0s = forms(files.energies)["mace"]
    return f"""Tested with mace-torch 0.3.16. The model is `runs/mace/mace.model`.

```bash
mace_run_train --name mace --work_dir runs/mace --model_dir runs/mace \\
  --train_file {files.train} --valid_file {files.validation} \\
  --energy_key {files.keys.energy} --forces_key {files.keys.forces} --E0s '{e0s}' \\
  --model MACE --r_max 5.0 --num_channels 64 --max_L 1 --batch_size 16 --valid_batch_size 64 \\
  --max_num_epochs 200 --default_dtype float64 --device cuda
```
"""


def _graph_pes(files: RecipeFiles) -> str:
    mapping = f"{{{files.keys.energy}: energy, {files.keys.forces}: forces}}"
    return f"""Tested with graph-pes 1.0.2. Save as `graph-pes.yaml`; the model is `runs/graph-pes/model.pt`.

```yaml
model:
  offset:
    +FixedOffset: {files.by_symbol}
  network:
    +PaiNN: {{cutoff: 5.0, channels: 64, layers: 3}}
data:
  train:
    +file_dataset: {{path: {files.train}, cutoff: 5.0, property_map: {mapping}}}
  valid:
    +file_dataset: {{path: {files.validation}, cutoff: 5.0, shuffle: false, property_map: {mapping}}}
loss:
  - +PerAtomEnergyLoss: {{}}
  - +ForceRMSE: {{}}
fitting:
  trainer_kwargs: {{max_epochs: 200}}
  loader_kwargs: {{batch_size: 16}}
general:
  root_dir: runs
  run_id: graph-pes
  torch: {{dtype: float64}}  # float32 cannot resolve small differences of total energies
wandb: null  # by default it reports to wandb.ai
```

```bash
graph-pes-train graph-pes.yaml
```

To evaluate it with `--calculator calculator_of_graph_pes:load`, save this as `calculator_of_graph_pes.py` in the
working directory:

```python
from graph_pes.models import load_model


def load(path, device):
    return load_model(path).to(device).ase_calculator()
```
"""


def _nequip(files: RecipeFiles) -> str:
    mapping = ""
    if files.keys != RESULT_KEYS:
        mapping = f"\n  key_mapping: {{{files.keys.energy}: total_energy, {files.keys.forces}: forces}}"
    return f"""Tested with nequip 0.19.1. Save as `nequip.yaml`.

```yaml
run: [train]
data:
  _target_: nequip.data.datamodule.ASEDataModule
  seed: 0
  train_file_path: {files.train}
  val_file_path: {files.validation}{mapping}
  transforms:
    - _target_: nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper
      model_type_names: {files.symbols}
    - _target_: nequip.data.transforms.NeighborListTransform
      r_max: 5.0
  train_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 16, shuffle: true}}
  val_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 64}}
  stats_manager:
    _target_: nequip.data.CommonDataStatisticsManager
    type_names: {files.symbols}
trainer:
  _target_: lightning.Trainer
  max_epochs: 200
  callbacks:
    - _target_: lightning.pytorch.callbacks.ModelCheckpoint
      dirpath: runs/nequip
      filename: best
      monitor: val0_epoch/weighted_sum
training_module:
  _target_: nequip.train.EMALightningModule
  loss: {{_target_: nequip.train.EnergyForceLoss, coeffs: {{total_energy: 1.0, forces: 1.0}}}}
  val_metrics: {{_target_: nequip.train.EnergyForceMetrics, coeffs: {{per_atom_energy_mae: 1.0, forces_mae: 1.0}}}}
  optimizer: {{_target_: torch.optim.Adam, lr: 0.001}}
  model:
    _target_: nequip.model.NequIPGNNModel
    seed: 0
    model_dtype: float32
    type_names: {files.symbols}
    r_max: 5.0
    num_layers: 3
    l_max: 1
    num_features: 32
    avg_num_neighbors: ${{training_data_stats:num_neighbors_mean}}
    per_type_energy_shifts: {files.by_symbol}
    per_type_energy_scales: ${{training_data_stats:forces_rms}}
```

```bash
nequip-train -cp "$PWD" -cn nequip hydra.run.dir=runs/nequip
nequip-package build runs/nequip/best.ckpt runs/nequip/model.nequip.zip
```
"""


def _sevennet(files: RecipeFiles) -> str:
    shift = ", ".join(repr(energy) for energy in forms(files.energies)["sevennet"])
    others = f", energy_key: {files.keys.energy}, force_key: {files.keys.forces}"
    keys = "" if files.keys == RESULT_KEYS else others
    return f"""Tested with sevenn 0.13.0. Save as `sevennet.yaml`; the model is `runs/sevennet/checkpoint_best.pth`.

```yaml
model:
  chemical_species: {files.symbols}
  cutoff: 5.0
  channel: 32
  lmax: 1
  num_convolution_layer: 3
  irreps_manual: False
train:
  random_seed: 1
  is_train_stress: False
  epoch: 200
  optimizer: adam
  optim_param: {{lr: 0.004}}
  scheduler: exponentiallr
  scheduler_param: {{gamma: 0.99}}
  force_loss_weight: 1.0
  per_epoch: 10
  error_record: [[Energy, RMSE], [Force, RMSE], [TotalLoss, None]]
data:
  batch_size: 16
  shift: [{shift}]  # in the alphabetical order of the symbols
  scale: force_rms
  data_format_args: {{index: ':'{keys}}}
  load_trainset_path: [{files.train}]
  load_validset_path: [{files.validation}]
```

```bash
sevenn train sevennet.yaml -w runs/sevennet
```
"""


def _fairchem(files: RecipeFiles) -> str:
    return f"""{NOT_RUN} It fine-tunes UMA, whose weights need acceptance of a licence; the record of such a model
states `fine-tuned`. In `configs/uma/finetune` of a fairchem checkout, set the following, with absolute paths, in
`data/uma_conserving_data_task_energy_force.yaml`:

```yaml
dataset_name: omol
elem_refs: {forms(files.energies)["fairchem"]}
normalizer_rmsd: {files.force_rms!r}
train_dataset: {{splits: {{train: {{src: {files.train}}}}}}}
val_dataset: {{splits: {{val: {{src: {files.validation}}}}}}}
```

Add the line `r_data_keys: [charge, spin]` to `a2g_args` of both data sets. Set that file as `data` and the checkpoint
as `base_model_name` in `uma_sm_finetune_template.yaml`, and run

```bash
fairchem -c configs/uma/finetune/uma_sm_finetune_template.yaml
```
"""


def _own(files: RecipeFiles) -> str:
    return f"""Read each format with its own library; for example, NumPy:

```python
import numpy as np

frames = np.load("{files.train}")
start, end = frames["offsets"][0], frames["offsets"][1]  # the atoms of the first frame
print(frames["atomic_numbers"][start:end], frames["{files.keys.energy}"][0], frames["{files.keys.forces}"][start:end])
```

Without an export, `harness.export` provides the frames as `Atoms`, as PyTorch Geometric's `Data` and as batches for a
`DataLoader`; see docs/your-own-training.md.
"""


_ASE: Final[tuple[FormatName, ...]] = ("extxyz", "ase-db")

_Recipe: TypeAlias = Callable[[RecipeFiles], str]

_TRAINERS: Final[tuple[tuple[str, tuple[FormatName, ...], _Recipe], ...]] = (
    ("MACE", ("extxyz",), _mace),
    ("graph-pes", _ASE, _graph_pes),
    ("NequIP", _ASE, _nequip),
    ("SevenNet", _ASE, _sevennet),
    ("fairchem", ("lmdb", "ase-db"), _fairchem),
    ("Your own code", ("npz",), _own),
)
"""Name, supported formats, and recipe."""

_TUNERS: Final[tuple[tuple[str, tuple[FormatName, ...], _Recipe], ...]] = (
    ("MACE, fine-tuned", ("extxyz",), tune_mace),
    ("graph-pes, fine-tuned", _ASE, tune_graph_pes),
    ("NequIP, fine-tuned", _ASE, tune_nequip),
    ("SevenNet, fine-tuned", _ASE, tune_sevennet),
    ("SO3LR, fine-tuned", ("extxyz",), tune_so3lr),
    ("Others, fine-tuned", (*_ASE, "lmdb", "npz"), tune_others),
)
"""The same for published checkpoints that are trained further."""

_FINE_TUNING: Final = """## Fine-tuning a published checkpoint

Each recipe below starts from a checkpoint, of any level of theory, and sets the reference energies to those of these
labels. The model counts as fine-tuned, and its result names the original checkpoint: state it by `"protocol":
"fine-tuned"` and `"base": "org/model"` in `mlip-ood.json`, or by `--base org/model`. Do not start from a checkpoint
that was trained on OOD molecules of the task.
"""

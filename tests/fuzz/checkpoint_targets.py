"""Targets: what a stranger's checkpoint consists of."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

from harness.networks.control_checkpoints import ControlArchitecture
from tests.fuzz.target import Reading, Target

_WEIGHTS = "model.safetensors"


def _loaded(folder: Path) -> object:
    from harness.core.potential import LoadOptions
    from harness.models.registry import load_potential
    from harness.models.resolve import resolve_model

    return load_potential(resolve_model(str(folder / "m")), LoadOptions(device="cpu"))


def _network(folder: Path, name: str) -> Reading:
    from tests.harness.small_checkpoint import write_small_checkpoint

    seeds = [(write_small_checkpoint(folder / "m", "task2") / name).read_bytes()]
    return Reading(lambda: _loaded(folder), seeds)


def _control(folder: Path, name: str, architecture: ControlArchitecture = "additive") -> Reading:
    from tests.harness.control_checkpoints import small_control

    shutil.move(small_control(folder / "made", architecture), folder / "m")
    return Reading(lambda: _loaded(folder), [(folder / "m" / name).read_bytes()])


def _card(folder: Path) -> Reading:
    """The card of a model, by which its family is recognised."""
    from harness.models.resolve import resolve_model

    (folder / "m").mkdir()
    (folder / "m" / "a.model").write_bytes(b"weights")
    text = "---\nlibrary_name: mace\nlicense: mit\ntags:\n- mace\n- chemistry\nbase_model: org/x\n---\n\n# A model\n"
    return Reading(lambda: resolve_model(str(folder / "m")), [text.encode(), b"# No front matter\n"])


def _foreign_config(folder: Path) -> Reading:
    """The config.json beside checkpoints of other packages."""
    from dataset_builders.core.errors import ModelError
    from harness.models.resolve import resolve_model
    from harness.potentials.aimnet2 import _config, _elements
    from harness.potentials.torchsim import read_recipe

    (folder / "m").mkdir()
    (folder / "m" / "a.model").write_bytes(b"weights")

    def read() -> object:
        path = folder / "m" / "config.json"
        for reader in (lambda: _elements(_config(path), path), lambda: read_recipe(path)):
            try:
                reader()
            except ModelError:
                continue
        return resolve_model(str(folder / "m"))

    aimnet = {"model_yaml": "class: a", "implemented_species": [1, 6, 7, 8], "family": "aimnet2-x", "cutoff": 5.0}
    recipe = {"factory": "a:b", "elements": [1, 6], "conservative": True, "files": {"x": "y"}, "arguments": {"z": 1}}
    return Reading(read, [json.dumps(each).encode() for each in (aimnet, recipe, {"format": "other"})])


def _training_record(folder: Path) -> Reading:
    """The file mlip-ood.json beside a model, compared with the data set that it names."""
    from dataset_builders.folder.mini import MINI_DIRECTORY
    from harness.data.dataset import open_levels
    from harness.method.statement import read_statement
    from harness.models.registry import ModelSource, find_family
    from harness.models.training_declaration import declaration_for
    from tests.harness.training_records import record_of

    datasets = open_levels("mini")
    path = folder / "mlip-ood.json"
    source = ModelSource("m", find_family("mace"), None, record=path)
    record = record_of(MINI_DIRECTORY, "task2")
    statement = {"schema": "mlip-ood-method/1", "protocol": "fine-tuned", "base": "org/m"}

    def read() -> object:
        stated = read_statement(path)
        return stated if stated is not None else declaration_for(source, None, datasets)

    return Reading(read, [json.dumps(each).encode() for each in (record, statement)])


def _smiles(folder: Path) -> Reading:
    from dataset_builders.tasks.regions import TASKS
    from harness.models.overlap import overlap_with, training_molecules

    lines = [
        "CCO",
        "CCN,1.0",
        "c1ccccc1 benzene",
        "[H]C([H])([H])[H]",
        "C.O",
        "sha256:0123456789abcdef",
        "# c",
        "[CH3:1]C",
    ]
    text = "\n".join(lines).encode()
    return Reading(lambda: overlap_with(training_molecules(folder / "list.txt"), [TASKS["task1"]]), [text])


def _pickle(folder: Path) -> Reading:
    from harness.trust.pickles import imports_of

    content = pickle.dumps({"a": [1, 2.0, "x"], "b": Path("x"), "c": complex(1, 2)}, protocol=2)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", content)
        archive.writestr("m/data/0", b"0123")
    seeds = [content, pickle.dumps({"a": Path("x")}, protocol=4), stream.getvalue()]
    return Reading(lambda: imports_of(folder / "m.pt"), seeds)


def _train_config(folder: Path) -> Reading:
    """The arguments of a network of one's own, and the options of a training that they are checked against."""
    from harness.train.options import _values_in

    return Reading(lambda: _values_in(folder / "c.toml"), [b'channels = 16\nname = "x"\n[a]\nb = [1, 2.5, true]\n'])


TARGETS = (
    Target("config.json", "json", "m/config.json", lambda folder: _network(folder, "config.json")),
    Target("safetensors", "safetensors", f"m/{_WEIGHTS}", lambda folder: _network(folder, _WEIGHTS)),
    Target("control-config", "json", "m/config.json", lambda folder: _control(folder, "config.json")),
    Target(
        "control-tensors", "safetensors", "m/model.safetensors", lambda folder: _control(folder, "model.safetensors")
    ),
    Target("knn-config", "json", "m/config.json", lambda folder: _control(folder, "config.json", "knn")),
    Target("knn-tensors", "safetensors", f"m/{_WEIGHTS}", lambda folder: _control(folder, _WEIGHTS, "knn")),
    Target("model-card", "yaml", "m/README.md", _card),
    Target("foreign-config", "json", "m/config.json", _foreign_config),
    Target("training-record", "json", "mlip-ood.json", _training_record),
    Target("training-smiles", "text", "list.txt", _smiles),
    Target("pickle", "bytes", "m.pt", _pickle),
    Target("train-config", "toml", "c.toml", _train_config),
)

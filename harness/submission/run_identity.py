"""Checks that the identity of a run matches the model, data set and packages in its records."""

from collections.abc import Iterator
from pathlib import Path

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.shown import shown
from harness.core.potential import DtypeName, PotentialTraits
from harness.data.dataset import PinnedDataset
from harness.results.identity import model_hash, run_directory, run_identity
from harness.results.manifest import Manifest
from harness.results.result import ModelRecord
from harness.submission.findings import Finding

_OWN_PACKAGE = "mlip-ood"
_CODE = "code_hash"


def run_id_of(manifest: Manifest) -> str:
    """Name of the folder of a run."""
    return run_directory(Path(), manifest.model.id, manifest.identity).name


def model_hash_of(manifest: Manifest) -> str:
    """sha256 over family, files and readout head of the model, as recorded."""
    return model_hash(_traits(manifest))


def findings_of_identity(manifest: Manifest, dataset: PinnedDataset, run_id: str) -> Iterator[Finding]:
    """Compares the identity stored with the predictions with the records of the run.

    Args:
        manifest: Manifest of the run.
        dataset: The data set with the content hash of the run.
        run_id: Name of its folder in the entry.
    """
    if run_id_of(manifest) != run_id:
        yield Finding(
            "fault", f"the folder is named {run_id}; from its identity, it should be {run_id_of(manifest)}", run_id
        )
    expected = run_identity(_traits(manifest), dataset, manifest.tasks, manifest.batch_atoms)
    here = expected[_CODE]
    expected[_CODE] = manifest.environment.code_hash
    said = manifest.identity
    wrong = [name for name in dict.fromkeys((*expected, *said)) if expected.get(name) != said.get(name)]
    for name in wrong:
        yield Finding(
            "fault",
            f"identity.{shown(name)} is {shown(said.get(name, 'absent'))}; expected "
            f"{shown(expected.get(name, 'none'))}, from the records of the run",
            run_id,
        )
    if not wrong:
        text = "the predictions carry the identity of the named model, data, settings and packages"
        yield Finding("proved", text, run_id)
    yield _of_code(manifest, here, run_id)


def _of_code(manifest: Manifest, here: str, run_id: str) -> Finding:
    stated = manifest.environment.code_hash
    if stated == here:
        return Finding(
            "stated", f"the predictions were made with the code of this version ({stated[:SHORT_HASH]})", run_id
        )
    return Finding(
        "look",
        f"the predictions were made with other code ({stated[:SHORT_HASH]}, mlip-ood "
        f"{manifest.environment.packages.get(_OWN_PACKAGE, 'unknown')}) than is installed here ({here[:SHORT_HASH]}); "
        "a spot check with --model shows whether this matters",
        run_id,
    )


def dtype_of(model: ModelRecord) -> DtypeName:
    """The precision of a single model.

    Raises:
        DataError: If it is `mixed`, which is valid only for the mean of a method.
    """
    if model.dtype == "mixed":
        raise DataError("dtype is 'mixed', which only a result of a method may have; expected float32 or float64")
    return model.dtype


def _traits(manifest: Manifest) -> PotentialTraits:
    """The traits of the model that enter its identity."""
    model, environment = manifest.model, manifest.environment
    versions = {name: version for name, version in environment.packages.items() if name != _OWN_PACKAGE}
    return PotentialTraits(
        model_id=model.id,
        family=model.family,
        elements=None,
        files=model.files,
        packages=tuple(versions),
        dtype=dtype_of(model),
        device=model.device,
        protocol=model.protocol,
        trained_on=model.trained_on,
        training=model.training,
        base=model.base,
        head=model.head,
        is_compiled=model.is_compiled,
        versions=versions,
        precision=environment.precision,
        variables=environment.variables,
    )

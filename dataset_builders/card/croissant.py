"""Croissant metadata of a data set on the Hub: JSON-LD that data-set search and `mlcroissant` read.

The Hub makes such a description of every data set with Parquet files (`/api/datasets/ID/croissant`): a set of files
for each configuration, as they lie on the branch `refs/convert/parquet`, and a record set with a field for each column.
This module writes the same structure and adds what the Hub cannot know: units, citation, version, and the properties of
the responsible-AI vocabulary, which venues for data sets ask for. It is not part of a published folder, where it would
stand beside the one that the Hub makes anew for each commit.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.card.metadata import LICENCE, PRETTY_NAME, TAGS
from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.repo import Repo
from dataset_builders.folder.configs import CONFIG
from dataset_builders.folder.provenance import import_record_of, is_imported
from dataset_builders.folder.schema import COLUMNS, DATASET_DATE, DATASET_VERSION, read_metadata
from dataset_builders.tasks.editions import SPLITS, edition_note

REPO: Final = "repo"
"""Id of the file object that stands for the repo; `mlcroissant` takes a local folder for it as `mapping`."""

_CONFORMS: Final = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
_LICENCE_URL: Final = "https://creativecommons.org/licenses/by/4.0/"
_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "sc:Text",
    pa.uint8(): "cr:UInt8",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
}
_OF_CROISSANT: Final = (
    "arrayShape", "citeAs", "column", "containedIn", "dataType", "examples",
    "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated",
    "replace", "separator", "source", "subField", "transform",
)  # fmt: skip
"""Terms of the Croissant vocabulary that stand for themselves."""

_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{name: f"cr:{name}" for name in _OF_CROISSANT},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}


def croissant(directory: Path, repo_id: str) -> dict[str, Any]:
    """The Croissant metadata of a data-set folder, as published in a repo.

    Args:
        directory: The folder.
        repo_id: Its id on the Hub, `org/name`.

    Raises:
        DataError: If the folder holds no configuration, or a file cannot be read.
    """
    splits = {folder.name: found for folder in _folders(directory) if (found := _splits_of(folder))}
    if not splits:
        raise DataError(
            f"{directory} holds no configuration such as task1/test_ood-*.parquet; expected a data-set folder"
        )
    metadata = {config: _metadata_of(directory / config) for config in splits}
    page = Repo(repo_id, "dataset").url
    repo = {
        "@type": "cr:FileObject",
        "@id": REPO,
        "name": REPO,
        "description": "The repo on the Hub.",
        "contentUrl": f"{page}/tree/refs%2Fconvert%2Fparquet",
        "encodingFormat": "git+https",
        # The specification asks for a hash, which a branch does not have; the Hub writes the same address.
        "sha256": "https://github.com/mlcommons/croissant/issues/80",
    }
    records = [part for config, found in splits.items() for part in _record_sets(config, found, metadata[config])]
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": list(_CONFORMS),
        **_about(repo_id, page, list(metadata.values())),
        "distribution": [repo, *map(_file_set, splits)],
        "recordSet": records,
    }


def _folders(directory: Path) -> list[Path]:
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    return [path for path in found if path.is_dir() and CONFIG.fullmatch(path.name)]


def _splits_of(folder: Path) -> list[str]:
    return [split for split in SPLITS if any(folder.glob(f"{split}-*.parquet"))]


def _metadata_of(folder: Path) -> dict[str, Any]:
    path = next(iter(sorted(folder.glob("*.parquet"))))
    try:
        return read_metadata(pq.read_schema(path))
    except (OSError, pa.ArrowException, ValueError) as cause:
        raise DataError(
            f"{path} cannot be read as Parquet ({cause}); delete it, then build the data set again"
        ) from cause


def _about(repo_id: str, page: str, metadata: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Name, licence, citation, and what the responsible-AI vocabulary asks for."""
    record = import_record_of(metadata[0])
    owner, _, name = repo_id.partition("/")
    editions = list(dict.fromkeys(str(each.get("edition")) for each in metadata))
    notes = "".join(f" {note}." for each in editions if (note := edition_note(each)) is not None)
    cite = (
        f"@misc{{mlip_ood, title = {{{PRETTY_NAME}}}, author = {{The mlip-ood developers}}, "
        f"howpublished = {{Hugging Face data set {repo_id}}}}}"
    )
    own = {"license": _LICENCE_URL, "version": f"{DATASET_VERSION}.0", "datePublished": DATASET_DATE}
    theirs = {} if record is None else {"license": record.licence, "isBasedOn": record.source}
    return {
        "name": name,
        "alternateName": [repo_id, PRETTY_NAME],
        "description": (
            "Energies and forces of small organic molecules. Every molecule of the out-of-distribution test sets "
            "consists of parts that occur in training, in combinations that do not. "
            f"Edition {', '.join(editions)}.{notes}"
        ),
        "creator": {"@type": "Organization", "name": owner, "url": page.rpartition("/datasets/")[0] + f"/{owner}"},
        "keywords": [*TAGS, LICENCE if record is None else record.licence],
        "url": page,
        "citeAs": cite,
        **(own if record is None else theirs),
        **_responsible(is_imported(metadata[0])),
    }


def _responsible(imported: bool) -> dict[str, Any]:
    """The properties of the responsible-AI vocabulary."""
    collection = (
        "Imported trajectories of others; molecules identified from their geometry, every frame checked."
        if imported
        else "Computed: conformers (ETKDGv3), MMFF94 and GFN2-xTB molecular dynamics at 300 K; quantum-chemical labels."
    )
    return {
        "rai:dataCollection": collection,
        "rai:dataCollectionType": ["Simulations"],
        "rai:dataUseCases": [
            "Testing whether interatomic potentials generalise to unseen combinations of known molecular fragments."
        ],
        "rai:dataLimitations": [
            "Single small neutral closed-shell molecules in the gas phase: no condensed phase, ions, radicals, metals.",
            "Labels have the errors of their level of theory.",
        ],
        "rai:dataBiases": ["One kind of backbone, linear alkyl chains, and a fixed list of terminal fragments."],
        "rai:personalSensitiveInformation": ["None: the data are computed properties of molecules."],
    }


def _file_set(config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": _files(config),
        "containedIn": {"@id": REPO},
        "encodingFormat": "application/x-parquet",
        "includes": f"{config}/*/*.parquet",
    }


def _files(config: str) -> str:
    return f"parquet-files-for-config-{config}"


def _record_sets(config: str, splits: Sequence[str], metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The record set of a configuration, and that of its splits, to which each row refers."""
    names, key = f"{config}_splits", f"{config}_splits/split_name"
    level = metadata.get("level_of_theory", {})
    method = level.get("method", "not stated") if isinstance(level, Mapping) else level
    of_splits = {
        "@type": "cr:RecordSet",
        "dataType": "cr:Split",
        "key": {"@id": key},
        "@id": names,
        "name": names,
        "description": f"Splits of {config}.",
        "field": [{"@type": "cr:Field", "@id": key, "dataType": "sc:Text"}],
        "data": [{key: split} for split in splits],
    }
    split = {
        "@type": "cr:Field",
        "@id": f"{config}/split",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": _files(config)},
            "extract": {"fileProperty": "fullpath"},
            # Matches its own outcome too: mlcroissant 1.1 transforms a field that refers to another one twice.
            "transform": {"regex": f"(?:{config}/(?:partial-)?)?({'|'.join(splits)})(?:/.+parquet)?$"},
        },
        "references": {"field": {"@id": key}},
    }
    rows = {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": f"Configuration {config}: labels {method}, edition {metadata.get('edition', 'not stated')}.",
        "field": [split, *(_field(config, *column) for column in COLUMNS)],
    }
    return [of_splits, rows]


def _field(config: str, name: str, kind: pa.DataType, meaning: str) -> dict[str, Any]:
    is_list = pa.types.is_list(kind)
    field = {
        "@type": "cr:Field",
        "@id": f"{config}/{name}",
        "name": name,
        "description": meaning,
        "dataType": _TYPES[kind.value_type if is_list else kind],
        "source": {"fileSet": {"@id": _files(config)}, "extract": {"column": name}},
    }
    return field | ({"isArray": True, "arrayShape": "-1"} if is_list else {})

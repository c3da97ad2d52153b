"""The YAML front matter of a card: metadata of the data set for the Hub, Croissant and `datasets`."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from dataset_builders.certify.coverage import ConfigSummary, DataSetCertificate
from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.yaml_bounds import MISFITS, require_bounded
from dataset_builders.folder.provenance import import_record_of
from dataset_builders.folder.schema import SCHEMA
from dataset_builders.tasks.editions import SPLITS, SplitName

if TYPE_CHECKING:
    from datasets import DatasetInfo

PRETTY_NAME: Final = "MLIP-OOD: compositional generalisation of interatomic potentials"

TAGS: Final = (
    "chemistry",
    "molecules",
    "mlip",
    "interatomic-potential",
    "machine-learning-force-field",
    "compositional-generalization",
    "ood",
)

LICENCE: Final = "CC-BY-4.0"
"""Licence of data built by this project."""

_LICENCES: Final = (
    "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-4.0",
    "cc0-1.0", "mit", "odbl", "odc-by", "pddl",
)  # fmt: skip
"""Licence ids of the Hub that are common for data."""

_SIZE_CATEGORIES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass(frozen=True, slots=True)
class SplitSize:
    """Size of a split.

    Attributes:
        n_bytes: Size of its rows as Arrow tables in `datasets`.
        n_file_bytes: Size of its Parquet files.
    """

    n_bytes: int
    n_file_bytes: int


Sizes = Mapping[str, Mapping[SplitName, SplitSize]]
"""Size of each split by configuration."""


def split_pattern(config: str, split: SplitName) -> str:
    """Glob pattern, relative to the data-set folder, of the files of a split."""
    return f"{config}/{split}-*.parquet"


def sizes_of(directory: Path, certificate: DataSetCertificate) -> Sizes:
    """Measures every split of a data-set folder; reads all its rows."""
    return {
        summary.config: {
            split: _split_size(sorted(directory.glob(split_pattern(summary.config, split)))) for split in SPLITS
        }
        for summary in certificate.summaries
    }


def _split_size(files: list[Path]) -> SplitSize:
    return SplitSize(sum(_table_bytes(path) for path in files), sum(path.stat().st_size for path in files))


def _table_bytes(path: Path) -> int:
    import pyarrow.dataset as ds
    from datasets.table import table_cast
    from pyarrow.fs import LocalFileSystem

    fragment = ds.ParquetFileFormat().make_fragment(str(path), filesystem=LocalFileSystem())
    if not fragment.row_groups:
        return 0
    # Offsets and null bitmaps depend on how rows are batched, and `datasets` batches by the first row group.
    batches = fragment.to_batches(columns=SCHEMA.names, batch_size=fragment.row_groups[0].num_rows, batch_readahead=0)
    return sum(int(table_cast(pa.Table.from_batches([batch]), SCHEMA).nbytes) for batch in batches)


def front_matter(certificate: DataSetCertificate, sizes: Sizes) -> str:
    """The YAML front matter, without its delimiters.

    It has no language, since the rows contain no text. With the features and the number of rows of each split in
    `dataset_info`, `load_dataset` rejects an incomplete copy.

    Args:
        certificate: Certificate of the data set.
        sizes: Size of its splits.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    default = certificate.summaries[0].config
    configs = []
    for summary in certificate.summaries:
        splits = [split for split in SPLITS if summary.n_rows[split]]
        data_files = [{"split": split, "path": split_pattern(summary.config, split)} for split in splits]
        config: dict[str, Any] = {"config_name": summary.config, "data_files": data_files}
        configs.append(config | {"default": True} if summary.config == default else config)
    record = import_record_of(certificate.summaries[0].metadata)
    data = DatasetCardData(
        pretty_name=PRETTY_NAME,
        **_licence(LICENCE if record is None else record.licence),
        annotations_creators=["machine-generated"],
        source_datasets=["original" if record is None else "extended"],
        task_categories=["graph-ml"],
        tags=list(TAGS),
        size_categories=[size_category(count_rows(certificate))],
        configs=configs,
    )
    infos = {summary.config: _dataset_info(summary, sizes[summary.config]) for summary in certificate.summaries}
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return str(data.to_yaml()).strip()


def _licence(name: str) -> dict[str, Any]:
    """The licence in YAML: an id from the Hub's list, or the name of any other licence."""
    if name.lower() in _LICENCES:
        return {"license": name.lower()}
    return {"license": "other", "license_name": name, "license_link": "LICENSE.md"}


def _dataset_info(summary: ConfigSummary, sizes: Mapping[SplitName, SplitSize]) -> "DatasetInfo":
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo

    splits = SplitDict()
    for split in (each for each in SPLITS if summary.n_rows[each]):
        splits.add(SplitInfo(name=split, num_bytes=sizes[split].n_bytes, num_examples=summary.n_rows[split]))
    return DatasetInfo(
        features=Features.from_arrow_schema(SCHEMA),
        splits=splits,
        download_size=sum(size.n_file_bytes for size in sizes.values()),
        dataset_size=sum(size.n_bytes for size in sizes.values()),
    )


def count_rows(certificate: DataSetCertificate) -> int:
    """Number of rows of all configurations and splits."""
    return sum(sum(summary.n_rows.values()) for summary in certificate.summaries)


def size_category(n_rows: int) -> str:
    """The Hub's size category for a number of rows."""
    return next((name for limit, name in _SIZE_CATEGORIES if n_rows < limit), "10M<n<100M")


def with_keys_of_others(card: str, present: str) -> str:
    """Adds keys of others in the YAML of the present card, such as those of a gated repo, to a new card.

    Keys that the new card defines keep its values, and the text below the YAML is that of the new card.

    Args:
        card: The card to publish.
        present: The card that is in the repo.

    Raises:
        DataError: If the YAML of the present card cannot be read, so the keys to keep are unknown.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    theirs, ours = (REGEX_YAML_BLOCK.search(text) for text in (present.removeprefix("\ufeff"), card))
    if theirs is None or ours is None:
        return card
    written = _lines_of_keys(ours[2])
    kept = [line for key, lines in _lines_of_keys(theirs[2]).items() if key not in written for line in lines]
    block = "\n".join([ours[2], *kept])
    _lines_of_keys(block)
    return f"---\n{block}\n---\n{card[ours.end() :]}"


@functools.lru_cache(maxsize=16)
def _lines_of_keys(block: str) -> Mapping[str, tuple[str, ...]]:
    """The original lines of each key of a YAML block; cached, since a publication reads a card many times.

    Raises:
        DataError: If it is not a mapping with each key on a separate line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    lines = block.splitlines()
    try:
        require_bounded(block, "the YAML at the head of the repo's README.md")
        mapping = YAML().load(block)
        if mapping is None:
            return {}
        if not isinstance(mapping, CommentedMap):
            raise YAMLError("not a mapping")
        starts = sorted((place[0], key) for key, place in mapping.lc.data.items())
        if len({start for start, _ in starts}) < len(mapping):
            raise YAMLError("several keys on one line")
    except (YAMLError, *MISFITS) as cause:
        raise DataError(
            f"the YAML at the head of the repo's README.md cannot be read ({first_line(cause)}); correct it on the "
            "Hub, with one key per line, so that keys added by others can be kept"
        ) from cause
    ends = [start for start, _ in starts[1:]] + [len(lines)]
    return {key: tuple(lines[start:end]) for (start, key), end in zip(starts, ends, strict=True)}

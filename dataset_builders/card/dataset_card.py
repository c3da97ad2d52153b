"""The card (README.md), its picture and the licence of a data-set repo, from its certificate.

Every number on the card is computed from the certificate, the tasks, the schema, the editions and the recipe. The card
has no date, so the same folder always gets the same card.
"""

import functools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.card.metadata import PRETTY_NAME, Sizes, count_rows, front_matter, sizes_of
from dataset_builders.card.numbers import NUMBERS, OVERALL_ID, SCORE, number_id
from dataset_builders.card.task_picture import PICTURE, picture_of, picture_text
from dataset_builders.certify.audit import CertifyReport
from dataset_builders.certify.correlation import CORRELATION_HEADER, correlation_notes, correlation_rows
from dataset_builders.certify.coverage import (
    DIVERGENCE_RADIUS,
    REQUIRED_RADIUS,
    SUMMARY_HEADER,
    ConfigSummary,
    DataSetCertificate,
    summary_rows,
)
from dataset_builders.certify.coverage_tables import (
    CERTIFICATE_HEADER,
    certificate_notes,
    certificate_rows,
    one_for_each_task,
)
from dataset_builders.certify.geometry.support_tables import (
    LEGEND,
    NOT_MEASURED,
    SUPPORT_HEADER,
    spacer_table,
    support_rows,
)
from dataset_builders.certify.inferred import inferred_texts
from dataset_builders.certify.labels.label_table import LABEL_HEADER, label_notes, label_rows
from dataset_builders.certify.row_checks import frame_counts_of
from dataset_builders.chemistry.environments import FAR_RADIUS
from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.errors import CertificateError
from dataset_builders.core.markdown import code, markdown_table, plain
from dataset_builders.core.whole_file import whole_file, write_text_whole
from dataset_builders.folder.provenance import import_record_of, is_imported
from dataset_builders.folder.schema import COLUMNS, DATASET_VERSION, METADATA_KEY, SCHEMA_VERSION
from dataset_builders.tasks.editions import EDITIONS, FRAMES_PER_BURST, SPLITS, edition_note
from dataset_builders.tasks.fragments import FRAGMENTS
from dataset_builders.tasks.regions import TASKS, Region, Task

if TYPE_CHECKING:
    import jinja2

LICENSE_URL: Final = "https://creativecommons.org/licenses/by/4.0/"

LICENSE_TEXT: Final = f"""\
# Licence

This data set is licensed under the Creative Commons Attribution 4.0 International licence (CC-BY-4.0):
<{LICENSE_URL}>
"""


def license_text(certificate: DataSetCertificate) -> str:
    """The licence of a data set: our own, or that of imported data."""
    record = import_record_of(certificate.summaries[0].metadata)
    if record is None:
        return LICENSE_TEXT
    return f"# Licence\n\nThese data are not our own. Source: {record.source}\n\nLicence: {record.licence}\n"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Data for a card.

    Attributes:
        repo_id: Name of the data-set repo on the Hub, such as `someone/mlip-ood`.
        certificate: Certificate of the folder, recomputed from its rows.
        source_url: Address of the source code.
    """

    repo_id: str
    certificate: DataSetCertificate
    source_url: str | None = None


def card_facts(report: CertifyReport, repo_id: str, source_url: str | None = None) -> CardFacts:
    """Collects the data for the card of a certified folder.

    Args:
        report: Report of the folder.
        repo_id: Name of the data-set repo on the Hub.
        source_url: Address of the source code.

    Raises:
        CertificateError: If the folder does not pass.
    """
    if not report.ok:
        first = f", first {report.problems[0]}" if report.problems else ""
        raise CertificateError(
            f"{report.directory} fails its certificate with {len(report.problems)} problems{first}; a card requires a "
            f"certified folder. See: python -m dataset_builders certify {report.directory}"
        )
    return CardFacts(repo_id, report.certificate, source_url)


def write_card(directory: Path, facts: CardFacts) -> None:
    """Writes `README.md`, its picture `tasks.png` and `LICENSE.md` into a data-set folder.

    Raises:
        CertificateError: If the folder does not pass its certificate, which the card would vouch for.
    """
    if not facts.certificate.ok:
        raise CertificateError(
            f"{directory} does not pass its coverage certificate, which a card requires; expected unseen OOD "
            f"molecules covered by training. See: python -m dataset_builders certify {directory}"
        )
    text = card_text(facts, sizes_of(directory, facts.certificate))
    with whole_file(directory / PICTURE) as partial:
        partial.write_bytes(card_picture(facts.certificate, directory))
    write_text_whole(directory / "README.md", text)
    write_text_whole(directory / "LICENSE.md", license_text(facts.certificate))


def remove_card(directory: Path) -> None:
    """Removes the card of a complete edition and its picture, which would vouch for the slice that the folder holds."""
    for name in ("README.md", PICTURE):
        (directory / name).unlink(missing_ok=True)


def card_picture(certificate: DataSetCertificate, directory: Path) -> bytes:
    """The picture that the card of a folder shows; the present one if it shows the same."""
    return picture_of(dict.fromkeys(summary.task for summary in certificate.summaries), directory)


def card_text(facts: CardFacts, sizes: Sizes) -> str:
    """The card as Markdown, with its YAML front matter.

    Args:
        facts: Data for the card.
        sizes: Size of each split of the folder.
    """
    return _template().render(_context(facts, sizes))


@functools.cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    source = files("dataset_builders").joinpath("templates", "dataset_card.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _context(facts: CardFacts, sizes: Sizes) -> dict[str, Any]:
    certificate = facts.certificate
    summaries = certificate.summaries
    tasks = dict.fromkeys(summary.task for summary in summaries)
    methods = dict.fromkeys(summary.method for summary in summaries)
    return {
        "front_matter": front_matter(certificate, sizes),
        "pretty_name": PRETTY_NAME,
        "picture": PICTURE,
        "picture_text": picture_text(tasks),
        "methods": ", ".join(map(plain, methods)),
        "n_rows": count_rows(certificate),
        "editions": ", ".join(_editions(summaries)),
        "edition_notes": [*filter(None, map(edition_note, _editions(summaries)))],
        "dataset_version": DATASET_VERSION,
        "schema_version": SCHEMA_VERSION,
        "repo_id": facts.repo_id,
        "example_config": example_config(certificate),
        "fragments": ", ".join(f"`{fragment}`" for fragment in FRAGMENTS),
        "own_fragments": ", ".join(_own_fragments(tasks)),
        "has_fixed_tasks": any(task.name in TASKS for task in tasks),
        "own_tasks": ", ".join(task.name for task in tasks if task.name not in TASKS),
        "tasks_with_subsets": _with_subsets(tasks),
        "task_table": markdown_table(_TASK_HEADER, [_task_row(task) for task in tasks]),
        "missing": ", ".join(certificate.missing),
        "far_radius": FAR_RADIUS,
        "summary_table": markdown_table(SUMMARY_HEADER, summary_rows(summaries)),
        "edition_table": markdown_table(("edition", *SPLITS), _edition_rows()),
        "column_table": markdown_table(
            ("column", "type", "unit, meaning"),
            [(code(name), code(str(kind)), meaning) for name, kind, meaning in COLUMNS],
        ),
        "metadata_key": METADATA_KEY.decode(),
        "recipe": RECIPE,
        "temperature": f"{RECIPE.temperature:g}",
        "time_step": f"{RECIPE.time_step:g}",
        "frames_per_burst": FRAMES_PER_BURST,
        "levels": [each for each in LEVELS.values() if each.method in methods],
        "subsets": [summary for summary in summaries if frame_counts_of(summary.metadata)],
        "subset_table": markdown_table(("config", *SPLITS), _subset_rows(certificate)),
        "atom_table": markdown_table(("level of theory", *ISOLATED_ATOMS[GFN2.name]), _atom_rows(methods)),
        "provenance_table": markdown_table(("config", "seed", "program versions"), _provenance_rows(certificate)),
        "required_radius": REQUIRED_RADIUS,
        "divergence_radius": DIVERGENCE_RADIUS,
        "certificate_table": markdown_table(CERTIFICATE_HEADER, certificate_rows(certificate.tasks)),
        "notes": certificate_notes(certificate.tasks),
        "same_molecules": "; ".join(_levels_of_tasks(certificate)),
        "inferred": inferred_texts(certificate),
        **_geometry(certificate),
        "label_table": markdown_table(LABEL_HEADER, label_rows(certificate.labels)),
        "label_notes": label_notes(certificate.labels),
        "correlation_table": markdown_table(CORRELATION_HEADER, correlation_rows(certificate.correlations)),
        "correlation_notes": correlation_notes(certificate.correlations),
        "numbers_table": markdown_table(_NUMBERS_HEADER, _number_rows()),
        "overall_id": OVERALL_ID,
        "score_id": number_id("CONFIG", SCORE),
        "license_url": LICENSE_URL,
        "imported": import_record_of(summaries[0].metadata),
        "labels_of_others": ", ".join(summary.config for summary in summaries if not _labelled_here(summary)),
        "methods_here": {summary.method for summary in summaries if _labelled_here(summary)},
        "computed_elsewhere": {
            summary.method: plain(_stated_computation(summary)) for summary in summaries if not _labelled_here(summary)
        },
        "import_table": markdown_table(_IMPORT_HEADER, list(_import_rows(certificate))),
        "other_methods": _other_methods(certificate),
        "source_url": facts.source_url,
    }


def _levels_of_tasks(certificate: DataSetCertificate) -> Iterator[str]:
    """The levels of theory of each task whose molecules are labelled at several."""
    methods = {summary.config: summary.method for summary in certificate.summaries}
    for configs, each in one_for_each_task(certificate.tasks).items():
        if len(configs) > 1:
            yield f"{each.config} at {', '.join(plain(methods[config]) for config in configs)}"


def _editions(summaries: Iterable[ConfigSummary]) -> list[str]:
    """The editions of the configurations; the same frames at another level may be of another edition."""
    return list(dict.fromkeys(str(summary.metadata["edition"]) for summary in summaries))


def _geometry(certificate: DataSetCertificate) -> dict[str, Any]:
    return {
        "geometry_is_measured": bool(certificate.support),
        "not_measured": NOT_MEASURED,
        "support_table": markdown_table(SUPPORT_HEADER, support_rows(certificate.support)),
        "support_legend": LEGEND,
        "spacer_table": markdown_table(*spacer_table(certificate.support)),
    }


def _subset_rows(certificate: DataSetCertificate) -> list[tuple[str, ...]]:
    counts = {summary.config: frame_counts_of(summary.metadata) for summary in certificate.summaries}
    return [(config, *(str(found.get(split, "all")) for split in SPLITS)) for config, found in counts.items() if found]


def _atom_rows(methods: Collection[str]) -> list[tuple[str, ...]]:
    levels = [level for level in LEVELS.values() if level.method in methods]
    return [(level.method, *(f"{energy:.4f}" for energy in ISOLATED_ATOMS[level.name].values())) for level in levels]


def example_config(certificate: DataSetCertificate) -> str:
    """The configuration used in examples."""
    names = [summary.config for summary in certificate.summaries]
    return "task3" if "task3" in names else names[0]


def _own_fragments(tasks: Iterable[Task]) -> list[str]:
    """Fragments that tasks declare, with the SMILES of each."""
    own = {fragment.name: fragment.smiles for task in tasks for fragment in task.fragments}
    return [f"`{name}` (`[*]{smiles}`)" for name, smiles in own.items()]


def _with_subsets(tasks: Iterable[Task]) -> str:
    """Names of the given tasks with subsets `near` and `far`, or of the four tasks if none has them."""
    names = [task.name for task in tasks if task.has_subsets] or [
        task.name for task in TASKS.values() if task.has_subsets
    ]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


_TASK_HEADER: Final = ("task", "name", "tests", "training words", "OOD words", "origin")


def _task_row(task: Task) -> tuple[str, ...]:
    train, ood = (" and ".join(_region_text(region) for region in regions) for regions in (task.train, task.ood))
    return (task.name, task.title, task.tests, train, ood, task.origin)


def _region_text(region: Region) -> str:
    right = {"same": "X", "other": "Y"}.get(region.right, region.right)
    condition = "X ≠ Y" if region.right == "other" else "X"
    spacers = ", ".join(str(spacer) for spacer in region.spacers)
    return f"(X, k, {right}), {condition} in {{{' '.join(region.left)}}}, k in {{{spacers}}}"


def _edition_rows() -> list[tuple[str, ...]]:
    return [(name, *(f"{getattr(edition, split):,}" for split in SPLITS)) for name, edition in EDITIONS.items()]


_IMPORT_HEADER: Final = ("config", "files", "molecules", "stride", "frames left out")


def _import_rows(certificate: DataSetCertificate) -> Iterator[tuple[str, ...]]:
    for summary in certificate.summaries:
        record = import_record_of(summary.metadata)
        if record is not None:
            counts = (len(record.files), len(record.frames), record.stride, record.n_left_out)
            yield summary.config, *(f"{count:,}" for count in counts)


def _labelled_here(summary: ConfigSummary) -> bool:
    """Whether this project computed the labels; imported frames may also be labelled here."""
    return not is_imported(summary.metadata) or "program" in summary.metadata["level_of_theory"]


def _stated_computation(summary: ConfigSummary) -> str:
    """Program and settings of external labels, as their metadata state them."""
    return str(summary.metadata["level_of_theory"].get("computed", "not stated"))


def _other_methods(certificate: DataSetCertificate) -> list[tuple[str, str]]:
    """Unnamed levels of theory of labels, with the calculation stated in their metadata."""
    known = {level.method for level in LEVELS.values()}
    found = {
        summary.method: _stated_computation(summary) for summary in certificate.summaries if summary.method not in known
    }
    return list(found.items())


_NUMBERS_HEADER: Final = ("number", "split", "unit", "better", "meaning")


def _number_rows() -> list[tuple[str, ...]]:
    return [
        (
            code(number.name),
            number.split,
            number.unit or "-",
            "higher" if number.higher_is_better else "lower",
            number.meaning,
        )
        for number in NUMBERS
    ]


def _provenance_rows(certificate: DataSetCertificate) -> list[tuple[str, ...]]:
    return [
        (
            summary.config,
            str(summary.metadata.get("seed", "not stated")),
            ", ".join(f"{name} {number}" for name, number in sorted(summary.metadata.get("versions", {}).items())),
        )
        for summary in certificate.summaries
    ]

"""What the front matter of a README.md says about its repo."""

import datetime as dt
import functools
import math
import re
from collections.abc import Mapping

from dataset_builders.core.errors import DataError
from dataset_builders.core.yaml_bounds import require_bounded, safe_yaml
from tests.loopback_hub.contents import Contents
from tests.loopback_hub.repos import Blob, Kind

README = "README.md"
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*(?:\r\n|\r|\n)(.*?)(?<=[\r\n])---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TAG_FIELDS: dict[Kind, tuple[str, ...]] = {
    "model": ("base_model", "license", "datasets"),
    "dataset": ("task_categories", "task_ids", "language", "license", "size_categories", "multilinguality"),
    "space": ("license", "models", "datasets"),
}
_TAG_PREFIXES = {"datasets": "dataset", "models": "model"}


def front_matter(readme: str) -> str | None:
    """The YAML between the first two lines `---`; `None` where there is none."""
    found = _FRONT_MATTER.match(readme)
    return found[1] if found else None


def parse_yaml(text: str) -> object:
    """The value of a YAML document, read as YAML 1.2, as the Hub reads it.

    Raises:
        ruamel.yaml.error.YAMLError: If it is not YAML, a key stands twice, or it would fill the memory.
    """
    from ruamel.yaml.error import YAMLError

    try:
        require_bounded(text, "it")
        return safe_yaml().load(text)
    except (DataError, ValueError, LookupError, AttributeError, TypeError) as cause:
        raise YAMLError(str(cause)) from cause


def card_data(contents: Contents, files: Mapping[str, Blob]) -> dict[str, object]:
    """The front matter of the README.md of a commit; empty where there is none, or none that can be read."""
    if README not in files:
        return {}
    text = front_matter(contents.read(files[README].sha256).decode("utf-8", "replace"))
    parsed = _parsed_before(text or "")
    return as_json(parsed) if isinstance(parsed, dict) else {}  # type: ignore[return-value]


@functools.lru_cache(maxsize=64)
def _parsed_before(text: str) -> object:
    """The value of a front matter, `None` where it is not YAML. Every question about a repo reads the same text."""
    from ruamel.yaml.error import YAMLError

    try:
        return parse_yaml(text)
    except YAMLError:
        return None


def as_json(value: object) -> object:
    """A YAML value in the types of JSON: dates become ISO-8601 strings, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def listed(value: object) -> list[str]:
    """A field that may be a string or a list of strings, as a list."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def card_tags(kind: Kind, card: Mapping[str, object]) -> list[str]:
    """The tags that a repo is found by, from its card."""
    tags = [str(card["library_name"])] if "library_name" in card else []
    tags += listed(card.get("tags"))
    if kind == "model":
        tags += listed(card.get("language"))
        tags += ["model-index"] if "model-index" in card else []
        tags += listed(card.get("pipeline_tag"))
    for field in _TAG_FIELDS[kind]:
        tags += [f"{_TAG_PREFIXES.get(field, field)}:{item}" for item in listed(card.get(field))]
    if kind == "model" and "base_model" in card:
        relation = card.get("base_model_relation", "finetune")
        tags += [f"base_model:{relation}:{item}" for item in listed(card["base_model"])]
    return list(dict.fromkeys([*tags, "region:us"]))

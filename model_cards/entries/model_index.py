"""The `model-index` and the tags in the YAML of a card, which older tools and the Hub's search read."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.card.numbers import NUMBERS
from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown
from dataset_builders.folder.configs import CONFIG
from dataset_builders.tasks.editions import DEMONSTRATION, UNKNOWN_EDITION
from model_cards.entries.notes import EDITION
from model_cards.hub.dataset_names import as_written
from model_cards.text.front_matter import FRONT_MATTER
from model_cards.text.yaml_text import (
    Items,
    load_yaml,
    merge_items,
    remove_items,
    remove_top_key,
    replace_top_value,
    set_top_key,
)

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

MODEL_INDEX: Final = "model-index"
_TAGS: Final = "tags"
_SPLITS: Final = frozenset(number.split for number in NUMBERS)


def merge_model_index(
    front: str, repo_id: str, results: Sequence["EvalResult"], today: Callable[[str], str] = as_written
) -> str:
    """Merges results into the `model-index` in the YAML of a card.

    A result of the same data set, edition, configuration and split is replaced in place. All other results and
    keys stay unchanged.

    Args:
        front: The YAML; a mapping, or empty.
        repo_id: Repo of the model; names a new `model-index` unless the card has a `model_name`.
        results: The results, grouped by split.
        today: Returns the current id of a data set, which the card may name by an earlier id.

    Raises:
        DataError: If the card has an invalid `model-index`.
    """
    return merge_index_results(front, repo_id, index_results_of(results), today)


def index_results_of(results: Sequence["EvalResult"]) -> list[dict[str, Any]]:
    """The items under `results` of a model in a `model-index`."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    found: list[dict[str, Any]] = eval_results_to_model_index("", list(results))[0]["results"]
    return found


def merge_index_results(
    front: str, repo_id: str, results: Sequence[dict[str, Any]], today: Callable[[str], str] = as_written
) -> str:
    """Like `merge_model_index`, for results in `model-index` format.

    Raises:
        DataError: If the card has an invalid `model-index`.
    """
    data = load_yaml(front, FRONT_MATTER) or {}
    named = data.get("model_name")
    name = named if isinstance(named, str) else repo_id
    index = [{"name": name, "results": list(results)}]
    present = data.get(MODEL_INDEX)
    if present is None or present == []:
        return set_top_key(front, MODEL_INDEX, index, FRONT_MATTER)
    _require_model_index(present)
    wanted = {identity: each for each in results if (identity := result_identity(each))}
    replaced = {(dataset, edition, config, split) for dataset, edition, config, _ in wanted for split in _SPLITS}
    revisions = {identity[:2]: each["dataset"].get("revision") for identity, each in wanted.items()}

    def identity_of(item: Any) -> tuple[str, str, str, str] | None:
        identity = result_identity(item, today)
        if identity is None or identity in replaced:
            return identity
        # A result that names no edition is of the same one if it is of the same revision, and never of the
        # demonstration edition otherwise.
        for (dataset, edition), revision in revisions.items():
            is_same = edition != DEMONSTRATION or revision == item["dataset"].get("revision")
            named = (dataset, edition, *identity[2:])
            if identity[:2] == (dataset, UNKNOWN_EDITION) and is_same and named in replaced:
                return named
        return None

    items = Items(wanted, identity_of)
    place = _place_of_model(present, items, (name, repo_id, repo_id.rpartition("/")[2]))
    if place is None:
        return merge_items(front, (MODEL_INDEX,), Items({name: index[0]}, lambda model: None), FRONT_MATTER)
    return merge_items(front, (MODEL_INDEX, place, "results"), items, FRONT_MATTER)


def index_results_in(front: str) -> list[dict[str, Any]]:
    """All results in the `model-index` of a card, for any model; none if the `model-index` is invalid.

    Raises:
        DataError: If it is not YAML.
    """
    data = load_yaml(front, FRONT_MATTER)
    models = data.get(MODEL_INDEX) if isinstance(data, dict) else None
    listed = models if isinstance(models, list) else []
    found = [model.get("results") for model in listed if isinstance(model, dict)]
    return [each for results in found if isinstance(results, list) for each in results if isinstance(each, dict)]


def model_names(front: str, results: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the models in the `model-index` of a card that have at least one of these results."""
    data = load_yaml(front, FRONT_MATTER)
    models = data.get(MODEL_INDEX) if isinstance(data, dict) else None
    having = [
        model.get("name")
        for model in (models if isinstance(models, list) else [])
        if isinstance(model, dict) and any(each in results for each in model.get("results") or [])
    ]
    return [name for name in having if isinstance(name, str)]


def remove_index_results(front: str, is_ours: Callable[[dict[str, Any]], bool], before: str | None) -> str:
    """Removes some results from the `model-index` of a card; the rest stays unchanged.

    A model without results is removed too, and the key if no model is left, unless they existed before the push.

    Args:
        front: The YAML.
        is_ours: Whether to remove a result.
        before: The YAML before results were pushed, if known.

    Raises:
        DataError: If it is written in a way that cannot be changed at that place alone.
    """
    earlier = load_yaml(before or "", FRONT_MATTER)
    kept = earlier.get(MODEL_INDEX) if isinstance(earlier, dict) else None
    known = [model.get("name") for model in kept if isinstance(model, dict)] if isinstance(kept, list) else []
    models = (load_yaml(front, FRONT_MATTER) or {}).get(MODEL_INDEX)
    gone: list[Any] = []
    for place, model in enumerate(models if isinstance(models, list) else []):
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list) or not any(isinstance(each, dict) and is_ours(each) for each in results):
            continue
        if all(isinstance(each, dict) and is_ours(each) for each in results) and model.get("name") not in known:
            gone.append(model)
        else:
            path = (MODEL_INDEX, place, "results")
            front = remove_items(front, path, lambda each: isinstance(each, dict) and is_ours(each), FRONT_MATTER)
    if gone and gone == models and not known:
        return remove_top_key(front, MODEL_INDEX, FRONT_MATTER)
    return remove_items(front, (MODEL_INDEX,), lambda model: model in gone, FRONT_MATTER) if gone else front


def has_one_tag_as_text(front: str) -> bool:
    """Whether the tags of a card are a string instead of a list, which the client accepts and the Hub refuses."""
    data = load_yaml(front, FRONT_MATTER)
    return isinstance(data, dict) and isinstance(data.get(_TAGS), str)


def remove_tag(front: str, tag: str, before: str | None) -> str:
    """Removes a tag from the YAML of a card, and the key `tags` if no tag is left.

    Args:
        front: The YAML.
        tag: The tag.
        before: The YAML before results were pushed, if known; a tag in it is kept.

    Raises:
        DataError: If it is written in a way that cannot be changed at that place alone.
    """
    tags, earlier = ((load_yaml(text or "", FRONT_MATTER) or {}) for text in (front, before))
    found, had = tags.get(_TAGS), earlier.get(_TAGS) if isinstance(earlier, dict) else None
    if had == tag or (isinstance(had, list) and tag in had):
        return front
    if found in (tag, [tag]) and not (isinstance(earlier, dict) and _TAGS in earlier):
        return remove_top_key(front, _TAGS, FRONT_MATTER)
    if not isinstance(found, list) or tag not in found:
        return front
    return remove_items(front, (_TAGS,), lambda item: item == tag, FRONT_MATTER)


def add_tag(front: str, tag: str) -> str:
    """Adds a tag to the `tags` in the YAML of a card; the others stay unchanged.

    Raises:
        DataError: If the present tags are invalid.
    """
    data = load_yaml(front, FRONT_MATTER) or {}
    tags = data.get(_TAGS)
    if tags is None or tags == []:
        return set_top_key(front, _TAGS, [tag], FRONT_MATTER)
    if isinstance(tags, str):
        # The client reads a string as a list with one tag.
        return front if tags == tag else replace_top_value(front, _TAGS, [tags, tag], FRONT_MATTER)
    if not isinstance(tags, list):
        raise DataError(f"{_TAGS} in {FRONT_MATTER} is {shown(tags)}; expected a list. Correct it first")
    items = Items({tag: tag}, lambda item: tag if item == tag else None)
    return front if tag in tags else merge_items(front, (_TAGS,), items, FRONT_MATTER)


def result_identity(item: Any, today: Callable[[str], str] = as_written) -> tuple[str, str, str, str] | None:
    """Data set, edition, configuration and split of a benchmark result; `None` for anything else.

    The edition is `UNKNOWN_EDITION` if the result names none.
    """
    dataset = item.get("dataset") if isinstance(item, dict) else None
    if not isinstance(dataset, dict):
        return None
    kind, config, split = (dataset.get(key) for key in ("type", "config", "split"))
    if not (isinstance(kind, str) and isinstance(config, str) and isinstance(split, str)):
        return None
    if split not in _SPLITS or not CONFIG.fullmatch(config):
        return None
    args = dataset.get("args")
    edition = args.get(EDITION) if isinstance(args, dict) else None
    return today(kind), edition if isinstance(edition, str) else UNKNOWN_EDITION, config, split


def _require_model_index(index: Any) -> None:
    models = index if isinstance(index, list) else [index]
    wrong = [model for model in models if not (isinstance(model, dict) and isinstance(model.get("results"), list))]
    if not isinstance(index, list) or wrong:
        raise DataError(
            f"{MODEL_INDEX} in {FRONT_MATTER} is not a list of models with `name` and `results`; correct it first, it "
            "was not changed"
        )


def _place_of_model(index: list[dict[str, Any]], items: Items, names: Sequence[str]) -> int | None:
    """Index of the model that the results belong to: the one that has them, the one of this name, or the only one."""
    having = [place for place, model in enumerate(index) if any(map(items.identity_of, model["results"]))]
    of_the_name = [place for place, model in enumerate(index) if model.get("name") in names]
    only = [0] if len(index) == 1 else []
    return next(iter([*having, *of_the_name, *only]), None)

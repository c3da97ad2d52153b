"""Models on the Hub: found, downloaded no further than needed, pinned, checked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from dataset_builders.core.hub.repo import Repo
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.registry import ModelSource, load_potential
from harness.models.resolve import HubAddress, parse_address, resolve_model
from tests.harness.small_checkpoint import SMALL_CONFIG
from tests.loopback_hub import Fault, LoopbackHub
from tests.packages import need

CONFIG = json.dumps({"format": "mlip-ood-checkpoint", "family": "graph-pes"}).encode()
OURS = {"README.md": b"# A model\n", "config.json": CONFIG, "model.safetensors": bytes(range(200)), "curve.png": b"x"}
REPO = "org/name"
ABSENT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def commit(hub: LoopbackHub) -> str:
    """A repo with a checkpoint of ours; gives its commit."""
    return hub.add_repo(REPO, files=OURS)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def fetched(source: ModelSource) -> set[str]:
    """Names of the files of a repo that were downloaded."""
    assert source.path is not None
    assert source.revision is not None
    (snapshot,) = (folder for folder in (source.path, *source.path.parents) if folder.name == source.revision)
    return {path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()}


def downloads(hub: LoopbackHub) -> list[str]:
    return [
        request.path.rpartition("/")[2]
        for request in hub.log
        if request.method == "GET" and "/resolve/" in request.path
    ]


@pytest.mark.parametrize(
    ("text", "repo", "revision", "path", "place"),
    [
        ("org/name", "org/name", None, ".", "org/name"),
        ("org/name/", "org/name", None, ".", "org/name"),
        ("org/na.me_2@v1.0", "org/na.me_2", "v1.0", ".", "org/na.me_2@v1.0"),
        (f"org/name@{ABSENT}", "org/name", ABSENT, ".", f"org/name@{ABSENT}"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3", ".", "org/name@refs/pr/3"),
        ("org/name@refs/pr/3/a/b.model", "org/name", "refs/pr/3", "a/b.model", "org/name@refs/pr/3"),
        ("org/name@feature%2Fx/b.model", "org/name", "feature/x", "b.model", "org/name@feature%2Fx"),
        ("org/name/a/b@2.model", "org/name", None, "a/b@2.model", "org/name"),
    ],
)
def test_an_address_has_the_form_of_hf_paths(text: str, repo: str, revision: str | None, path: str, place: str) -> None:
    address = parse_address(text)
    assert address == HubAddress(text.rstrip("/"), Repo(repo, "model"), revision, path)
    assert address.place == place


@pytest.mark.parametrize(
    "text", ["name", "./org/name", "/org/name", "~/org/name", "../name", "org/", "org//name", "o r/g", ""]
)
def test_what_is_no_address_is_not_asked_of_the_hub(hub: LoopbackHub, text: str) -> None:
    assert parse_address(text) is None
    with pytest.raises(UsageError, match=r"unknown model|there is no file or directory"):
        resolve_model(text)
    assert hub.log == []


def test_a_repo_is_resolved_to_a_commit_and_the_files_that_are_needed(hub: LoopbackHub, commit: str) -> None:
    source = resolve_model(REPO)
    assert (source.model_id, source.family.name, source.revision) == (REPO, "graph-pes", commit)
    assert source.path is not None
    assert (source.path / "model.safetensors").read_bytes() == OURS["model.safetensors"]
    assert fetched(source) == {"config.json", "model.safetensors"}
    before = len(downloads(hub))
    assert resolve_model(REPO) == source
    assert len(downloads(hub)) == before


def test_a_revision_is_a_branch_a_tag_a_commit_or_a_pull_request(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    (tmp_path / "retrained").write_bytes(b"retrained")
    hub.add_user("ann", orgs={"org": "write"})
    hub.log_in("ann")
    HfApi().create_tag(REPO, tag="v1")
    changed = HfApi().upload_file(
        path_or_fileobj=tmp_path / "retrained", path_in_repo="model.safetensors", repo_id=REPO, create_pr=True
    )
    head = hub.commit(REPO, "model", {"model.safetensors": b"newer"})
    expected = {
        "": (head, b"newer"),
        "@main": (head, b"newer"),
        "@v1": (commit, OURS["model.safetensors"]),
        f"@{commit}": (commit, OURS["model.safetensors"]),
        "@refs/pr/1": (changed.oid, b"retrained"),
    }
    for revision, (sha, content) in expected.items():
        source = resolve_model(REPO + revision)
        assert (source.model_id, source.revision) == (REPO, sha), revision
        assert source.path is not None
        assert (source.path / "model.safetensors").read_bytes() == content, revision


def test_one_of_several_checkpoints_is_picked(hub: LoopbackHub) -> None:
    contents = {"large.model": b"large", "sub/small.model": b"small", "README.md": b""}
    sha = hub.add_repo(REPO, files=contents)
    message = (
        r"org/name@main contains 2 checkpoints of the family mace: large\.model, sub/small\.model\. "
        r"Choose one: --model org/name@main/large\.model"
    )
    with pytest.raises(ModelError, match=message):
        resolve_model(f"{REPO}@main")
    for text in (f"{REPO}/sub/small.model", f"{REPO}@{sha}/sub/small.model", f"{REPO}/sub"):
        source = resolve_model(text)
        assert (source.model_id, source.family.name, source.revision) == (f"{REPO}/sub/small.model", "mace", sha)
        assert source.path is not None
        assert source.path.read_bytes() == b"small"
    assert "large.model" not in downloads(hub)
    with pytest.raises(
        ModelError, match=r"org/name has no file or folder 'medium\.model'; its files: README\.md, large"
    ):
        resolve_model(f"{REPO}/medium.model")


def test_a_part_of_a_checkpoint_stands_for_the_whole(hub: LoopbackHub, commit: str) -> None:
    assert resolve_model(f"{REPO}/model.safetensors").model_id == REPO


def test_the_family_may_be_named(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, files={"weights.bin": b"weights", "README.md": b"---\nlibrary_name: unheard-of\n---\n"})
    with pytest.raises(
        ModelError, match=r"org/name contains no checkpoint of a known family; its files: README\.md, weigh"
    ):
        resolve_model(REPO)
    assert downloads(hub) == ["README.md"]
    assert resolve_model(f"{REPO}/weights.bin", "mace").family.name == "mace"
    with pytest.raises(ModelError, match=r"org/name lacks what the family mace needs: \*\.model; its files: "):
        resolve_model(REPO, "mace")
    with pytest.raises(UsageError, match="no family 'gemnet' reads checkpoints; families that do: "):
        resolve_model(REPO, "gemnet")


def test_names_and_local_paths_come_first(
    hub: LoopbackHub, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("org").mkdir()
    Path(REPO).mkdir()
    (Path(REPO) / "small.model").touch()
    assert resolve_model("gfn2-xtb").path is None
    assert resolve_model(REPO) == ModelSource(REPO, resolve_model(REPO).family, Path(REPO) / "small.model")
    assert hub.log == []


def test_a_misspelt_name_lists_the_known_ones(hub: LoopbackHub) -> None:
    with pytest.raises(
        UsageError, match=r"unknown model 'gfn2xtb'; known names: chgnet .*mmff94 .*gfn2-xtb gfn1-xtb zero"
    ):
        resolve_model("gfn2xtb")
    assert hub.log == []


def test_a_pinned_commit_works_offline(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = resolve_model(REPO)
    requests = len(hub.log)
    offline(monkeypatch)
    assert resolve_model(f"{REPO}@{commit}") == source
    with pytest.raises(SetupError, match=r"HF_HUB_OFFLINE is set\. Unset it, or pin a commit that is in the cache"):
        resolve_model(REPO)
    with pytest.raises(SetupError, match=f"model org/name at {ABSENT} is not in the cache, and HF_HUB_OFFLINE is set"):
        resolve_model(f"{REPO}@{ABSENT}")
    assert len(hub.log) == requests


def test_offline_the_same_files_are_known_as_online(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = hub.add_repo(REPO, files={"large.model": b"large", "small.model": b"small"})
    source = resolve_model(f"{REPO}/small.model")
    offline(monkeypatch)
    assert resolve_model(f"{REPO}@{sha}/small.model") == source
    with pytest.raises(ModelError, match=r"contains 2 checkpoints of the family mace: large\.model, small\.model"):
        resolve_model(f"{REPO}@{sha}")
    with pytest.raises(SetupError, match="the local cache lacks some of its files"):
        resolve_model(f"{REPO}@{sha}/large.model")


@pytest.mark.parametrize("is_offline", [False, True])
def test_a_corrupt_file_is_named_with_the_remedy(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    text = f"{REPO}@{commit}"
    source = resolve_model(text)
    assert source.path is not None
    blob = (source.path / "model.safetensors").resolve()
    # The same length, which is all that the client compares.
    blob.write_bytes(bytes(200))
    with monkeypatch.context() as patch:
        if is_offline:
            offline(patch)
        with pytest.raises(
            ModelError, match=r"model\.safetensors is corrupt: its sha256 is .*, but the Hub states"
        ) as caught:
            resolve_model(text)
    assert f"{blob} was removed: run again to download it again" in str(caught.value)
    assert not blob.exists()
    assert resolve_model(text) == source
    assert (source.path / "model.safetensors").read_bytes() == OURS["model.safetensors"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org/nothing", r"there is no model org/nothing on the Hub that you may read; check the spelling, or log in "
         r"with `hf auth login` if it is private; there is no file or folder 'org/nothing' here either"),
        ("org/private", "there is no model org/private on the Hub that you may read; check the spelling, or log in"),
        ("org/name@v9", r"model org/name has no revision 'v9'; its branches, tags and commits: http://.*/org/name/commits"),
        (f"org/name@{ABSENT}", f"model org/name has no revision '{ABSENT}'"),
    ],
)  # fmt: skip
def test_what_is_absent_is_the_model(hub: LoopbackHub, commit: str, text: str, message: str) -> None:
    hub.add_repo("org/private", files=OURS, private=True)
    with pytest.raises(ModelError, match=message):
        resolve_model(text)


def test_an_id_that_the_hub_could_not_hold_is_refused(hub: LoopbackHub) -> None:
    with pytest.raises(UsageError, match=r"'org/a--b' is not an id on the Hub .* expected org/name"):
        resolve_model("org/a--b")


def test_a_gated_repo_asks_for_its_conditions(hub: LoopbackHub) -> None:
    hub.add_user("ann")
    hub.add_repo("org/gated", files=OURS, gated=True)
    hub.log_in("ann")
    message = (
        r"model org/gated is gated; accept its conditions at http://.*/org/gated, then log in with `hf auth login` or"
    )
    with pytest.raises(SetupError, match=message):
        resolve_model("org/gated")
    hub.let_in("org/gated", "model", "ann")
    assert resolve_model("org/gated").family.name == "graph-pes"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="/api/models/", status=500, times=2),
        Fault(path="/api/models/", status=429, retry_after=7),
        Fault(path="/api/models/", cut=True),
        Fault(method="GET", path="/resolve/", status=503),
        Fault(method="GET", path="/resolve/", status=429, retry_after=7),
        Fault(method="HEAD", path="/resolve/", status=502),
        Fault(method="GET", path="/resolve/.*safetensors", truncate=100),
    ],
)  # fmt: skip
def test_an_error_that_passes_is_outlasted(
    hub: LoopbackHub, commit: str, no_waiting: list[float], fault: Fault
) -> None:
    hub.order(fault)
    source = resolve_model(REPO)
    assert source.path is not None
    assert (source.path / "model.safetensors").read_bytes() == OURS["model.safetensors"]
    assert fault.retry_after is None or no_waiting[0] >= fault.retry_after


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(cut=True, times=999),
            r"org/name cannot be fetched from the Hub: .*\. Check the network and try again; there is",
        ),
        (
            Fault(status=500, times=999),
            "the Hub failed on model org/name with status 500: .* Try again later; there is no",
        ),
        (
            Fault(status=429, times=999),
            "the Hub limits the rate of requests to model org/name .* try again later, or log in",
        ),
        (
            Fault(path="/resolve/", status=500, times=999),
            "org/name cannot be fetched from the Hub and the local cache lacks",
        ),
        (
            Fault(path="/resolve/", cut=True, times=999),
            r"org/name cannot be fetched from the Hub: .* Check the network",
        ),
        (
            Fault(method="GET", path="/resolve/", truncate=0, times=999),
            r"org/name cannot be fetched from the Hub: .*network",
        ),
    ],
)
def test_an_error_that_stays_comes_with_its_remedy(
    hub: LoopbackHub, commit: str, no_waiting: list[float], fault: Fault, message: str
) -> None:
    hub.order(fault)
    with pytest.raises(SetupError, match=message):
        resolve_model(REPO)
    assert no_waiting


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint for task4 of the tiny data set."""
    need("graph_pes")
    import torch

    from harness.networks.checkpoint_format import write_checkpoint
    from harness.networks.networks import build_network
    from harness.networks.tensors import network_tensors

    energies = {**SMALL_CONFIG.reference_energies, "F": -10.0}
    config = replace(SMALL_CONFIG, elements=(1, 6, 8, 9), reference_energies=energies, trained_on="task4")
    torch.manual_seed(3)
    network = build_network(config.architecture, config.arguments, config.elements)
    write_checkpoint(tmp_path / "checkpoint", config, network_tensors(network))
    return tmp_path / "checkpoint"


def test_a_model_of_the_hub_has_the_result_of_the_same_files_here(
    hub: LoopbackHub, checkpoint: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    sha = hub.add_repo(REPO, files={path.name: path.read_bytes() for path in checkpoint.iterdir()})
    dataset = open_dataset(str(tiny_dataset))
    options = RunOptions(output=tmp_path / "results", load=LoadOptions(device="cpu"), quiet=True)
    here, there = (evaluate_model(resolve_model(text), dataset, options) for text in (str(checkpoint), f"{REPO}@main"))
    assert (there.result.model.id, there.result.model.revision) == (REPO, sha)
    assert (here.result.model.id, here.result.model.revision) == (str(checkpoint), None)
    assert there.result.model.files == here.result.model.files
    for part, measured in here.result.tasks["task4"].splits.items():
        expected = measured.metrics["force_mae"].value
        # float32 leaves the last bits open.
        assert there.result.tasks["task4"].splits[part].metrics["force_mae"].value == pytest.approx(expected, rel=1e-6)
    # The key of a run is over the files, wherever they came from.
    assert (there.directory.parent.name, there.directory.name) == ("org-name", here.directory.name)


def test_a_pickle_of_the_hub_needs_trust_too(hub: LoopbackHub, mace_file: bytes) -> None:
    sha = hub.add_repo(REPO, files={"small.model": mace_file})
    source = resolve_model(REPO)
    with pytest.raises(ModelError, match="--trust-checkpoint"):
        load_potential(source, LoadOptions(device="cpu"))
    traits = load_potential(source, LoadOptions(device="cpu", trust_checkpoint=True)).traits
    assert (traits.model_id, traits.revision, set(traits.files)) == (REPO, sha, {"small.model"})


@pytest.fixture(scope="module")
def mace_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pytest.importorskip("mace")
    from tests.harness.potentials.molecules import saved, small_mace

    return saved(small_mace(), tmp_path_factory.mktemp("mace") / "small.model").read_bytes()

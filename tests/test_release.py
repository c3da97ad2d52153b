"""What a release needs: workflows of least privilege, templates that are valid, and one version everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.matrix.tag import disagreements

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PUBLISHING = {"pypi": {"id-token": "write"}, "github-pages": {"pages": "write", "id-token": "write"}}
"""The only jobs that may write, by their environment: releases, and the documentation site."""


def read(path: Path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash_and_jobs_may_only_read(path):
    text = path.read_text(encoding="utf-8")
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text
    assert "secrets." not in text
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        if "permissions" in job:
            environment = job["environment"]
            asked = PUBLISHING[environment if isinstance(environment, str) else environment["name"]]
            assert job["permissions"] == asked, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_modules_and_targets_that_workflows_call_exist(path):
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r"python -m (tests[\w.]+)", text):
        folder = ROOT.joinpath(*module.split("."))
        assert folder.with_suffix(".py").is_file() or (folder / "__main__.py").is_file(), module
    for target in re.findall(r"run: make (\w+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target


@pytest.mark.parametrize("path", [form for form in FORMS if form.name != "config.yml"], ids=lambda path: path.name)
def test_issue_forms_are_complete(path):
    form = read(path)
    assert {"name", "description", "title", "labels", "body"} <= set(form)
    identifiers = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(identifiers)) == len(identifiers)
    for field in form["body"]:
        assert field["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}
        assert field["attributes"].get("label") or field["type"] == "markdown"
        if field["type"] in {"dropdown", "checkboxes"}:
            assert field["attributes"]["options"]


def test_the_version_stands_in_one_place_and_is_cited():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert disagreements(f"v{version}") == []
    assert disagreements("v9.9.9") == [f"the tag is v9.9.9 and pyproject.toml has version {version}"]


def test_a_forgotten_changelog_is_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CITATION.cff").write_text("version: 1.2.2\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-01-01\n")
    assert disagreements("v1.2.3", tmp_path) == ["CITATION.cff does not name version 1.2.3"]


def test_the_citation_is_complete():
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    for reference in citation["references"]:
        assert all("family-names" in author for author in reference["authors"])
        assert reference["year"] > 2000
    assert "see arXiv" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_files_that_the_security_page_names_exist():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_images_take_what_the_package_needs():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    torch = re.search(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert torch is not None
    assert sum(torch[1] in line for line in lines) == 2
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000:1000"] * 2

"""Checks before a release that the tag, the version of the package, the citation and the changelog agree.

python -m tests.matrix.tag v0.2.0
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def disagreements(tag: str, root: Path = ROOT) -> list[str]:
    """What does not name the version of a tag, one sentence each."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = [] if tag == f"v{version}" else [f"the tag is {tag} and pyproject.toml has version {version}"]
    for name, pattern in (
        ("CITATION.cff", rf"^version: {re.escape(version)}$"),
        ("CHANGELOG.md", rf"^## (?:Package )?\[?{re.escape(version)}\]?(?![\w.])"),
    ):
        path = root / name
        if not path.is_file() or not re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE):
            found.append(f"{name} does not name version {version}")
    return found


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m tests.matrix.tag vX.Y.Z, got {len(sys.argv) - 1} arguments")
    found = disagreements(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]}: tag, version, citation and changelog agree")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())

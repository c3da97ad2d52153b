import os
from pathlib import Path

import pytest

from dataset_builders.core.usable_cpus import usable_cpus

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 16),
        ("0::/job/step\n", {"job/cpu.max": "800000 100000", "job/step/cpu.max": "max 100000"}, 8),
        ("0::/job/step\n", {"job/cpu.max": "max 100000", "job/step/cpu.max": "600000 100000"}, 6),
        (
            "4:cpu,cpuacct:/docker/1\n1:memory:/other\n",
            {"cpu/docker/1/cpu.cfs_quota_us": "200000", "cpu/docker/1/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ("nonsense\n", {"cpu.max": "?"}, 16),
    ],
)
def test_affinity_and_quota(tmp_path: Path, own: str, files: dict[str, str], expected: int) -> None:
    groups = written(tmp_path / "cgroup", files)
    (tmp_path / "own").write_text(own)
    assert usable_cpus(groups, tmp_path / "own") == expected


def test_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= usable_cpus() <= (ALL or 1)

from pathlib import Path

import pytest

from harness.compute import hardware
from harness.compute.hardware import available_memory


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [("max", "5", 2000 * 1024), ("1500000", "500000", 1_000_000), ("9999999999", "5", 2000 * 1024), ("5", "9", 0)],
)
def test_memory_of_the_machine_and_of_its_container(
    limit: str, used: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  4000 kB\nMemFree:  1000 kB\nMemAvailable:    2000 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    assert available_memory() == expected


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "absent")
    assert available_memory() is None

"""What models print, in every way that there is, does not reach standard output."""

import json
import subprocess
import sys

import pytest

from harness.trust.standard_output import printing_on_standard_error

PROGRAM = """
import ctypes, json, os, subprocess, sys
from harness.trust.standard_output import printing_on_standard_error
print("before")
with printing_on_standard_error():
    with printing_on_standard_error():
        print("by print")
    sys.stdout.write("by write\\n")
    sys.stdout.buffer.write(b"by buffer\\n")
    os.write(1, b"by descriptor\\n")
    ctypes.CDLL(None).puts(b"by C")
    subprocess.run(["echo", "by a program"])
    kept = sys.stdout
    sys.stdout.close()
    sys.stdout = None
print(json.dumps("after"))
sys.stderr.write("still there\\n")
kept.write("by a stream that was kept\\n")
"""


def test_whatever_prints_prints_on_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["before", json.dumps("after")]
    ways = {"by print", "by write", "by buffer", "by descriptor", "by C", "by a program", "by a stream that was kept"}
    assert ways | {"still there"} <= set(done.stderr.splitlines())


def test_a_closed_standard_output_is_left_closed() -> None:
    program = """
import os, sys
from harness.trust.standard_output import printing_on_standard_error
os.close(1)
with printing_on_standard_error():
    print("meanwhile")
sys.stderr.write("still there\\n")
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "meanwhile\nstill there\n"


def test_streams_of_a_notebook_or_a_test_are_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    output, errors = sys.stdout, sys.stderr
    with printing_on_standard_error():
        print("to the errors")
        sys.stderr = None  # type: ignore[assignment]
    assert (sys.stdout, sys.stderr) == (output, errors)
    print("to the output")
    assert capsys.readouterr() == ("to the output\n", "to the errors\n")

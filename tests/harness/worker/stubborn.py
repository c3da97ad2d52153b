"""An adapter that does in its worker what a test asks of it; imported there by name."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from dataset_builders.core.errors import ModelError
from harness.core.batch import Prediction
from harness.core.potential import PotentialTraits

TRAITS = PotentialTraits("stubborn", "stubborn", frozenset({1, 6, 8}), files={"weights": "0" * 64}, packages=("numpy",))


class Stubborn:
    def __init__(self, deeds: Path):
        self._deeds = deeds
        self.traits = TRAITS

    def compute(self, batch):
        deed = self._next_deed()
        if deed == "die":
            sys.stderr.write("a last word\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "raise":
            raise RuntimeError("a bug in the model")
        if deed == "refuse":
            raise ModelError("no parameters for element 92")
        if deed == "hang":
            time.sleep(60)
        if deed == "chatter":
            print("progress " * 100_000)
        if deed == "flood":
            sys.stderr.write("a warning\n" * 3_000_000)
            os._exit(5)
        if deed == "fill":
            import torch

            raise torch.OutOfMemoryError("no room for 7 GiB")
        if deed == "look":
            return self._what_it_sees(batch)
        energy = np.bincount(batch.system_idx, weights=batch.positions.sum(axis=1), minlength=batch.n_structures)
        return Prediction(energy, np.asarray(batch.positions, dtype=np.float64) * 2.0, {})

    def _next_deed(self):
        deeds = self._deeds.read_text().split()
        self._deeds.write_text(" ".join(deeds[1:]))
        return deeds[0] if deeds else ""

    def _what_it_sees(self, batch):
        seen = [f"{name}={value}" for name, value in sorted(os.environ.items())]
        try:
            socket.create_connection(("127.0.0.1", int(self._deeds.with_name("port").read_text())), timeout=5).close()
            seen.append("network=yes")
        except OSError:
            seen.append("network=no")
        seen.append(f"token_file={(Path.home() / '.cache/huggingface/token').exists()}")
        nan = np.full((len(batch.positions), 3), np.nan)
        return Prediction(nan[: batch.n_structures, 0], nan, {0: "\n".join(seen)})


def load(source, options):
    if options.head == "broken":
        raise ValueError("unreadable weights")
    if options.head == "refused":
        raise ModelError("weights of another family")
    if options.head == "large":
        raise RuntimeError("CUDA error: out of memory")
    if options.head == "dead":
        os._exit(7)
    return Stubborn(source)

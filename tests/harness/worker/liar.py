"""An adapter that answers in its worker as no worker should; imported there by name.

It writes into the socket whose number stands on its command line, as a program that knows it could.
"""

import os
import struct
import subprocess
import sys
import time

import numpy as np

from harness.compute.meter import Footprint
from harness.core.batch import Prediction
from harness.core.potential import PotentialTraits
from harness.worker.protocol import Message, encoded

TRAITS = PotentialTraits("liar", "liar", frozenset({1, 6, 8}), packages=("numpy",))


def say(content):
    os.write(int(sys.argv[1]), content)


def framed(message):
    content = encoded(message)
    return struct.pack("!i", len(content)) + content


def numbered(number, **body):
    arrays = {"energy": np.zeros(2), "forces": np.zeros((4, 3))}
    return framed(Message("computed", {"failures": {}} | body, arrays, number))


class Liar:
    def __init__(self, deeds):
        self._deeds = deeds
        self.traits = TRAITS

    def compute(self, batch):
        deeds = self._deeds.read_text().split()
        self._deeds.write_text(" ".join(deeds[1:]))
        return getattr(self, deeds[0] if deeds else "honest")(batch)

    def honest(self, batch):
        return Prediction(np.zeros(batch.n_structures), np.zeros((len(batch.positions), 3)), {})

    def another_number(self, batch):
        say(numbered(99))
        time.sleep(60)

    def answer_twice(self, batch):
        say(numbered(1) * 2)
        time.sleep(60)

    def absurd_length(self, batch):
        say(struct.pack("!iQ", -1, 2**62) + b"x" * 1000)
        time.sleep(60)

    def negative_length(self, batch):
        say(struct.pack("!i", -7) + b"x" * 1000)
        time.sleep(60)

    def long_answer(self, batch):
        say(struct.pack("!i", 2**31 - 1))
        for _ in range(1000):
            say(b"x" * 10**6)

    def text(self, batch):
        say(b"Loading weights ... done\n")
        time.sleep(60)

    def garbage(self, batch):
        say(struct.pack("!i", 64) + bytes(range(64)))
        time.sleep(60)

    def no_number(self, batch):
        say(framed(Message("computed", {"failures": {}}, {"energy": np.zeros(2)}, "one")))
        time.sleep(60)

    def no_forces(self, batch):
        say(framed(Message("computed", {"failures": {}}, {"energy": np.zeros(2)}, 1)))
        time.sleep(60)

    def odd_failures(self, batch):
        say(numbered(1, failures={"-1": "no"}))
        time.sleep(60)

    def another_kind(self, batch):
        say(framed(Message("loaded", {}, number=1)))
        time.sleep(60)

    def half_an_answer(self, batch):
        say(numbered(1)[:-8])
        time.sleep(60)

    def half_a_header(self, batch):
        say(b"\0\0")
        time.sleep(60)

    def half_an_answer_and_a_child(self, batch):
        # The child outlives its session's leader and holds the socket open.
        subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=(int(sys.argv[1]),))
        self.half_an_answer(batch)

    def slowly(self, batch):
        content = numbered(1)
        for start in range(0, len(content), 100):
            say(content[start : start + 100])
            time.sleep(0.01)
        time.sleep(60)

    def complex_energy(self, batch):
        return Prediction(np.zeros(batch.n_structures) * 1j, np.zeros((len(batch.positions), 3)), {})

    def long_cause(self, batch):
        nan = np.full((len(batch.positions), 3), np.nan)
        return Prediction(nan[: batch.n_structures, 0], nan, {0: "\N{GRINNING FACE}" * 10**6})

    def meter(self):
        return OddMeter(self._deeds)


class OddMeter:
    def __init__(self, deeds):
        self._deeds = deeds

    def begin(self):
        pass

    def end(self):
        if self._deeds.read_text() == "odd_meter":
            return Footprint("much", -1, None)
        return Footprint(3000, 20, 10)


def load(source, options):
    if options.head == "liar":
        say(framed(Message("loaded", {"traits": {"model_id": 7}, "is_cut_off": True})))
        time.sleep(60)
    return Liar(source)

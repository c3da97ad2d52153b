"""The benchmark inside ml-peg: what its calc, analyse and app steps call, and the files that make them known there."""

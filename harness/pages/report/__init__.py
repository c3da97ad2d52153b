"""The page about one or several runs: what was asked, the answer, and everything behind it, down to single atoms."""

"""The card of a data-set repo, its metadata, and the numbers on its leaderboard."""

"""The card of a data-set repo, its metadata, and the numbers that its leaderboard may show."""

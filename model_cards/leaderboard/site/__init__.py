"""The leaderboard as a page: reads results from the Hub, folders and records of the study, and writes one HTML file."""

"""The study: every row of the table trained and measured on every task, and the report of what came out."""

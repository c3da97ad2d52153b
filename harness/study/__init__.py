"""The study: trains and evaluates every row of the table on every task, and reports the results."""

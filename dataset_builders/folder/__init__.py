"""A data-set folder: its configurations, the Parquet files of their splits, and the columns."""

"""Statistics, probes and pictures, from Parquet alone."""

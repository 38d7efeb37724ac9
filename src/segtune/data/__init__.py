"""Dataset folder -> batches."""

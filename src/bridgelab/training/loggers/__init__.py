"""Loggers of a training run: `metrics.csv` and W&B."""

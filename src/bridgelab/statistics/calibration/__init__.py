"""Calibration: how often the verdict and the power plan are wrong on studies whose truth is known."""

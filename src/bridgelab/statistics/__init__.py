"""Statistics of differences between bridges: contrast, verdict, breakpoint, break map, power and calibration."""

"""Jobs of a sweep, on this machine or on Slurm. Free of torch."""

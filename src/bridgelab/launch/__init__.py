"""Jobs of a sweep, on this machine or by Slurm's queue. Free of torch."""

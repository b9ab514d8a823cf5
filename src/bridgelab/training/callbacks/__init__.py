"""Lightning callbacks of a training run, one file each."""

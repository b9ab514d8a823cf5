"""What is there on this machine, what is reachable from it, and how big a run is going to be."""

"""What is installed on this machine, what is reachable from it, and what a run needs."""

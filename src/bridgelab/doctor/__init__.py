"""Check what is installed on this machine and reachable from it; estimate what a run needs."""

"""Linear probes of what patches and visual tokens hold."""

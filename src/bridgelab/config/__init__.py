"""The schema of the config, and the objects built from it."""

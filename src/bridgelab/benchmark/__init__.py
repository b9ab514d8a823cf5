"""Benchmarks: how each is read, one module each."""

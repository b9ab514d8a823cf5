"""What several benchmarks share in how they are read."""

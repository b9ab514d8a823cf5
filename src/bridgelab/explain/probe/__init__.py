"""Linear probes of what patches and visual tokens hold (Alain & Bengio 2016, arXiv:1610.01644)."""

"""Optimizers: Muon, and Muon with AdamW."""

"""Training one bridge between two frozen models, and the record it leaves."""

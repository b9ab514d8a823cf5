"""What a run leaves and how it is read: atomic files, locks, identity, record, study. Free of torch."""

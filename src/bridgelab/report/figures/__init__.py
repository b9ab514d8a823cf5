"""Pictures of a study: one picture a file."""

"""What a config may hold, and what is built of it."""

"""What a bridge's answers rest on, and what its visual tokens hold."""

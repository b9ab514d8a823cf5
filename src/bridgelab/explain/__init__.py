"""What a bridge's answers rest on, and what its tokens hold."""

"""What happens beside a training step."""

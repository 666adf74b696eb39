"""What a guest finds at its first boot."""

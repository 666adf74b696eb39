"""Values to text, JSON and scripts; pure."""

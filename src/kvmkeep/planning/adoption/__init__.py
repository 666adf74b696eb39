"""What others made becomes ours, and what is ours is let go."""

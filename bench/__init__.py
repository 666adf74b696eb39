"""kvmkeep side by side with what one would use instead; a figure is never a test."""

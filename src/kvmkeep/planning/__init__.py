"""Spec and Facts to a Plan; pure."""

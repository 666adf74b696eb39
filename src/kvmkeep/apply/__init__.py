"""A Plan to a Report: the only stage that changes anything."""

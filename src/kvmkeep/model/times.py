"""Times of ISO 8601, as facts, tags and files hold them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(text: str) -> datetime:
    """Return a time of ISO 8601; raises ValueError where it is none."""
    return datetime.fromisoformat(text).astimezone(UTC)

"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine must not make a test fail; what is slow is the benchmarks' business.
settings.register_profile("kvmkeep", deadline=None)
settings.load_profile("kvmkeep")

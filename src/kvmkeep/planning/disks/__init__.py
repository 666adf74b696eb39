"""Disks of guests: made, filled, attached, grown, taken from them."""

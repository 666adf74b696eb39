"""Frozen values; pure: nothing here touches the machine."""

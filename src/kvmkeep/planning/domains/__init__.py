"""Domains of libvirt: defined from the spec, and held to it."""

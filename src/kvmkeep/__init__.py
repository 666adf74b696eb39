"""kvmkeep: one plain Linux server, kept as a KVM server that critical guests can depend on."""

__version__ = "0.1.0"

"""The lab: a virtual server like a real KVM server, for trying kvmkeep and for testing it."""

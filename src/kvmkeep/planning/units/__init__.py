"""Units of systemd that have guests run with the host."""

"""The one door to the machine: commands, libvirt, files, locks."""

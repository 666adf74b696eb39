"""Networks of the host: bridges and VLANs, and what undoes a change of them."""

"""A QEMU of one's own: from a source tree and a patch mail to a binary with its provenance."""

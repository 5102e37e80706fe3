"""A small kernel of one's own for emulated hosts: a distribution's configuration, less what such a host lacks."""

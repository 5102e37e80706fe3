"""The configuration: what the user wrote, refused or understood, then resolved against this host.

``load`` reads a YAML file, the environment and the command line into the frozen models of ``schema``; every refusal
names its place as ``path:line:col: key: problem``. ``resolve`` turns a ``schema.Config`` into ``resolve.Settings``,
made of the types of :mod:`qstress.model`, with paths, binaries and the accelerator of this host filled in.
"""

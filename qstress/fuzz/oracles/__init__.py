"""The oracles, one a module: each judges, names and repeats one kind of fault. :mod:`qstress.fuzz.judge` lists them."""

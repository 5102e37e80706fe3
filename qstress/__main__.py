"""``python -m qstress``."""

from qstress.cli import main

main()

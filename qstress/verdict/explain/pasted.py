"""A pasted text, explained: cleaned, read, judged."""

from __future__ import annotations

from qstress.verdict.explain.clean import cleaned
from qstress.verdict.explain.decide import decide
from qstress.verdict.explain.picture import Explanation
from qstress.verdict.explain.read import read_picture

#: What is read of a text; a log that is longer tells no more by its rest.
MOST_BYTES = 64 << 20


def explain_text(data: bytes) -> Explanation:
    """Return what *data*, any text with register dumps in it, shows; never raises, linear in its length."""
    return decide(read_picture(cleaned(data)))

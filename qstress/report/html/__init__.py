"""``report.html``: one file that asks for nothing, from values alone.

``page`` puts it together from ``sections``; ``figures`` draws what ``plot`` has the parts for, ``tables`` says the same
in numbers; ``markup`` keeps text and HTML apart.
"""

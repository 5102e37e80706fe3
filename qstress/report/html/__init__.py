"""``report.html``: one file that asks for nothing, from values alone.

``page`` puts it together of the ``verdict``, the figures (``figures``, ``heatmap``, ``distributions``, drawn with the
parts in ``plot``), the ``findings``, and what it is all ``about``; ``tables`` says the same in numbers, ``markup``
keeps text and HTML apart.
"""

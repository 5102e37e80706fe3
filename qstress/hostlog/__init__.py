"""What the host's kernel says, folded into reports, titles and blame (pure: bytes in, facts out).

``records`` reads what ``/dev/kmsg`` gives, ``pasted`` what people copy from it; ``kinds`` knows how a report of each
kind begins, ends and is called, ``frames`` which function names it; ``reports`` keeps the lines of one report together,
``findings`` counts them and names the trials, ``answer`` explains a pasted log.
"""

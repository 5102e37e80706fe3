"""``qstress explain``: what register dumps show, how sure that is, and what would settle it (pure).

``clean`` undoes what mail, terminals and JSON did to a pasted text, ``read`` finds the dumps in it, ``words`` what is
said around them; together they make a ``picture``, which ``decide`` judges and ``show`` prints. A live guest gives the
same kind of picture (:mod:`qstress.host.explain`).
"""

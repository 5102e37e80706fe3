"""``python -m tools.watch_states > docs/watch-states.md``: the states of a watch, drawn from its table."""

from __future__ import annotations

import sys
from itertools import groupby

from qstress.trial.states import ASKED_FOR, NOTED, TRANSITIONS, WatchState, Why

HEAD = """\
# What a bring-up waits for

Drawn from the table in `qstress/trial/states.py` by `python -m tools.watch_states`; do not edit. A box is a state of
the watch (`qstress/trial/watch.py`), an arrow the event that ends it, with why in brackets where there are several
ways out. On entering a state the watch asks its driver (`qstress/trial/bringup.py`) for what the box names.

```mermaid
stateDiagram-v2
"""
TAIL = """\
```

Taken note of in every state, without leaving it: {noted}.

Only a `Tick` judges; where one of these is news while the watch is watching, it asks for a tick at once.
"""


def drawn() -> str:
    """Return the page: a Mermaid diagram of the table, and what it does not show."""
    lines = ["    [*] --> ready"]
    for state in WatchState:
        asks = f": {state.value}, {type(ASKED_FOR[state]).__name__}" if state in ASKED_FOR else f": {state.value}"
        lines.append(f"    {state.value}{asks}")
    rows = [((before.value, after.value), kind.__name__, why) for (before, kind, why), after in TRANSITIONS.items()]
    order = {ends: number for number, (ends, _, _) in reversed(list(enumerate(rows)))}
    for (before, after), group in groupby(sorted(rows, key=lambda row: order[row[0]]), key=lambda row: row[0]):
        labels = [name if why is Why.ALWAYS else f"{name} ({why.value})" for _, name, why in group]
        lines.append(f"    {before} --> {after}: {'<br>'.join(labels)}")
    lines.append("    decided --> [*]")
    noted = ", ".join(f"`{kind.__name__}`" for kind in NOTED)
    return HEAD + "\n".join(lines) + "\n" + TAIL.format(noted=noted)


if __name__ == "__main__":
    sys.stdout.write(drawn())

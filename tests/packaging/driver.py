"""Run by an interpreter that has the wheel, and nothing of ours: command lines of qstress, one process for all.

Standard input has a JSON document a line, ``{"argv": [str], "stdin": str}``; each is answered by ``{"code": int,
"stdout": str, "stderr": str}``.
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from qstress.cli import main


def carried_out(argv: list[str], text: str) -> dict[str, object]:
    """Call the entry point with *argv* and *text* as its input."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["qstress", *argv]
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    code: object = None
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}


if __name__ == "__main__":
    asked, answers = sys.stdin, sys.stdout
    for line in asked:
        print(json.dumps(carried_out(*json.loads(line).values())), file=answers, flush=True)

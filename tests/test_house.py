"""The house rules that a machine can check: sizes, and one public name for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "qstress"
MOST_MODULE_LINES, MOST_FUNCTION_LINES, MOST_ATTRIBUTES = 450, 60, 14

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef

#: Not for a caller to handle: defects of qstress, and click's own way to end a command.
NEVER_CAUGHT = ("AssertionError", "NotImplementedError")

#: Public names that two modules may share, and why.
SHARED_NAMES: dict[str, str] = {}
#: Classes of more attributes, and why.
WIDE_CLASSES = {
    "Config": "the configuration has as many sections and keys at its top level",
    "Settings": "the resolved configuration: a field a key",
    "CellTally": "the counters of one cell, which are summed and stored together",
    "SummaryDocument": "a key of summary.json each",
    "CellDocument": "a key of a cell in summary.json each",
    "Firmware": "one value answers all that depends on the firmware; its docstring says why it is not split",
    "FuzzFinding": "a record on the disk: a field a key of finding.json",
    "Block": "one block of a dump as it was read: a field a thing that a dump can say",
    "VcpuLook": "one vCPU as a dump shows it: a field a thing that a dump can say",
    "Situation": "all that the judge looks at, as one value, so that judging is a function",
    "Hammer": "the pace, the command in flight and the books of one monitor, kept in step by one callback",
    "Campaign": "a run's parts and where its lanes stand; only its own methods write the latter",
    "Soak": "one run's parts, wired once by start() and resume(), read by whoever shows it",
}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Yield name, text and syntax tree of each module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        yield str(path.relative_to(PACKAGE)), text, ast.parse(text)


def attributes(of: ast.ClassDef) -> set[str]:
    """Return the fields of a class and what its methods assign to ``self``."""
    fields = {
        each.target.id for each in of.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    return fields | {
        each.attr
        for each in ast.walk(of)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
        if isinstance(each.value, ast.Name) and each.value.id == "self"
    }


def test_no_module_or_function_is_too_long_to_read_at_once() -> None:
    long = [f"{name}: {lines} lines" for name, text, _ in modules() if (lines := text.count("\n")) > MOST_MODULE_LINES]
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{name}: {node.name}: {lines} lines"] if lines > MOST_FUNCTION_LINES else []
    assert long == []


def test_wide_classes_say_why() -> None:
    wide = {
        node.name: f"{name}: {node.name}: {len(attributes(node))} attributes"
        for name, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and len(attributes(node)) > MOST_ATTRIBUTES
    }
    assert sorted(told for name, told in wide.items() if name not in WIDE_CLASSES) == []
    assert sorted(set(WIDE_CLASSES) - set(wide)) == [], "these are not wide any more"


def test_no_public_name_stands_in_two_modules() -> None:
    where: defaultdict[str, list[str]] = defaultdict(list)
    for name, _, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                where[node.name].append(name)
    shared = {name: places for name, places in where.items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in SHARED_NAMES} == {}
    assert sorted(set(SHARED_NAMES) - set(shared)) == [], "these are unique now"


def raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names of what *function* raises itself and does not only pass on; not what functions inside it do."""
    found: set[str] = set()
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            found.add(node.exc.func.id)
        if not isinstance(node, FUNCTION | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)
    return found


def test_public_functions_say_what_they_raise() -> None:
    silent = []
    for name, _, tree in modules():
        if name.startswith("cli/") and name != "cli/options.py":
            continue  # a command's docstring is its help
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION) and not node.name.startswith("_"):
                told = ast.get_docstring(node) or ""
                errors = {error for error in raised(node) if error[0].isupper() and error not in NEVER_CAUGHT}
                silent += [f"{name}: {node.name}: {error}" for error in errors if f":raises {error}:" not in told]
    assert sorted(silent) == []

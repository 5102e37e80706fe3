"""``tests/`` mirrors ``qstress/`` path for path, so that a newcomer finds the tests of a module without asking."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Tests of what is no module of qstress: live guests, and what lies beside the package under the same name.
ELSEWHERE = ("live", "tools", "dashboards", "docs", "packaging")
#: Not tested by themselves yet.
UNTESTED: set[Path] = set()


def test_every_module_has_its_tests_and_every_test_file_its_module() -> None:
    modules = {path.relative_to(ROOT / "qstress") for path in (ROOT / "qstress").rglob("*.py")}
    modules = {path for path in modules if not path.name.startswith("__")} - UNTESTED
    tests = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {path for path in tests if path.parts[0] not in ELSEWHERE} - {Path("test_mirror.py")}
    live = {path.stem.removeprefix("test_") for path in tests if path.parts[0] == "live"}
    expected = {path.with_name(f"test_{path.name}") for path in modules}
    untested = sorted(
        str(path) for path in modules if path.with_name(f"test_{path.name}") not in mirrored and path.stem not in live
    )
    assert untested == [], "these modules have no tests"
    assert sorted(map(str, mirrored - expected)) == [], "these test files have no module"

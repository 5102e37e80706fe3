"""``tests/`` mirrors ``qstress/`` path for path, so that a newcomer finds the tests of a module without asking."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Tests of what is no module of qstress: live guests, and what lies beside the package.
ELSEWHERE = ("live", "tools", "dashboards", "docs", "packaging")
#: Tests of the package as a whole.
OF_ALL = {Path("test_mirror.py"), Path("test_house.py")}


def test_every_module_has_its_tests_and_every_test_file_its_module() -> None:
    modules = {path.relative_to(ROOT / "qstress") for path in (ROOT / "qstress").rglob("*.py")}
    expected = {path.with_name(f"test_{path.name}") for path in modules if not path.name.startswith("__")}
    tests = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {path for path in tests if path.parts[0] not in ELSEWHERE} - OF_ALL
    assert sorted(map(str, expected - mirrored)) == [], "these modules have no tests"
    assert sorted(map(str, mirrored - expected)) == [], "these test files have no module"

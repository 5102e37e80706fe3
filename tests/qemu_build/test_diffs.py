from __future__ import annotations

import pytest

from qstress.qemu_build.diffs import diffs_in
from tests.host.trees import diff, hunk

ONE, TWO = diff(5, "five"), diff(9, "-- ", file="target/tcg.c")


def test_a_diff_without_the_words_around_it() -> None:
    (found,) = diffs_in(f"words\n---\n x | 2 +-\n\n{ONE}-- \n2.39\n".encode())
    assert (found.text, found.line, found.after, found.first_file) == (ONE.encode(), 5, "x | 2 +-", "target/kvm.c")


@pytest.mark.parametrize("between", ["", "\n", "Index: target/tcg.c\n" + "=" * 67 + "\n", "Only in b: x\n"])
def test_diffs_with_no_words_between_are_one(between: str) -> None:
    (found,) = diffs_in((ONE + between + TWO).encode())
    assert found.text == (ONE + between + TWO).encode()


@pytest.mark.parametrize("between", ["Better:\n", "-- \n2.39\n", "> quoted\n"])
def test_diffs_with_words_between_are_two(between: str) -> None:
    first, second = diffs_in((ONE + between + TWO).encode())
    assert (first.text, second.text, second.after) == (ONE.encode(), TWO.encode(), between.strip().split("\n")[-1])


def test_the_last_title_before_a_diff_is_named_not_the_last_words() -> None:
    assert diffs_in(f"[PATCH] a\nwords\n{ONE}".encode())[0].after == "[PATCH] a"


@pytest.mark.parametrize(
    "text", ["", "--- a\n+++ b\n", "  " + ONE.replace("\n", "\n  "), "> " + ONE.replace("\n", "\n> ")]
)
def test_what_is_no_diff_in_the_first_column(text: str) -> None:
    assert diffs_in(text.encode()) == []


def test_a_hunk_with_a_line_that_is_none_of_its_own_is_broken() -> None:
    assert diffs_in(ONE.encode())[0].broken is None
    assert diffs_in(ONE.replace("+five", "+fi\nve").encode())[0].broken == "ve"
    assert diffs_in(ONE.removesuffix(" line 6\n").encode())[0].broken == ""


def test_an_empty_line_of_context_may_have_lost_its_blank() -> None:
    text = ONE.replace(" line 6\n", "\n").encode()
    assert [(each.text, each.broken) for each in diffs_in(text + b"words\n")] == [(text, None)]


def test_two_copies_have_one_key() -> None:
    copies = [
        ONE,
        ONE.replace("+five", "+five  "),
        ONE.replace("--- a", "index 12..34 100644\n--- a"),
        ONE + hunk(20, "x"),
    ]
    keys = [diffs_in(copy.encode())[0].key for copy in copies]
    assert keys[0] == keys[1] == keys[2] != keys[3]

from __future__ import annotations

import gzip

import pytest

from qstress.qemu_build.webtext import as_mbox, html_text, page_text, readable, title_and_author, unix_lines
from tests.host.trees import diff

ONE = diff(5, "five").encode()
MAIL = b"From: A <a@x.org>\nSubject: x\n\n" + ONE
FROM = b"From mail Mon Sep 17 00:00:00 2001\n"


@pytest.mark.parametrize(
    "data",
    [MAIL, b"\xef\xbb\xbf" + MAIL, gzip.compress(MAIL), MAIL.replace(b"\n", b"\r\n"), MAIL.decode().encode("utf-16")],
)
def test_what_a_file_says_whatever_it_is_written_in(data: bytes) -> None:
    assert readable(data) == MAIL


def test_a_broken_archive_says_nothing() -> None:
    assert readable(b"\x1f\x8bno") == b""


def test_a_text_with_line_ends_of_both_kinds_stays() -> None:
    assert unix_lines(b"a\r\nb\n") == b"a\r\nb\n"
    assert unix_lines(b"a\r\nb\r\n\n") == b"a\nb\n\n"


@pytest.mark.parametrize(
    "head", [b"", b"\n \n", b"From a Tue Sep  9 9:00:00 2025\n", b">From a Tue Sep 9 12:00 CET 2025\n", b"words\n"]
)
def test_a_mail_begins_with_its_headers_whatever_stands_before(head: bytes) -> None:
    assert as_mbox(head + MAIL) == FROM + MAIL + b"\n"


def test_a_line_that_only_looks_like_the_next_mail_is_escaped() -> None:
    words = b"Subject: x\n\nFrom a Mon Sep 17 00:00:00 2001\nwas bad\n"
    assert as_mbox(words) == FROM + words.replace(b"\nFrom", b"\n>From") + b"\n"


@pytest.mark.parametrize("text", [b"", ONE, b"Index: x\n\n" + ONE, ONE + b"\n" + MAIL])
def test_no_mail(text: bytes) -> None:
    assert as_mbox(text) is None


def test_html_as_a_browser_shows_it() -> None:
    page = b"<html><style>a</style><p>one\n two</p><div>&lt;3&nbsp;&nbsp;x</div><pre>\n a\n\n b</pre><br>c<![bad[x"
    assert html_text(page) == b"one two\n<3  x\n\n a\n\n b\n\nc"


def test_quoted_printable_is_undone_where_every_equals_sign_is_an_escape() -> None:
    assert page_text(b"a =3D=3D b =\nc\n") == b"a == b c\n"
    assert page_text(b"a =3D=3D b = c\n") == b"a =3D=3D b = c\n"


@pytest.mark.parametrize(
    ("before", "title", "author"),
    [
        ("", "", ""),
        ("[PATCH v2] a: b\nAnn posted 1 patch 2 days ago\n", "[PATCH v2] a: b", "Ann"),
        ("[PATCH] old\n* [PATCH] a: b\nFrom: Ann <a@x> @ 2025-01-01 10:00 UTC\n", "[PATCH] a: b", "Ann <a@x>"),
        ("[PATCH] a: b\nAnn Thu, 09 Jan 2025 10:00\nFrom the start\n", "[PATCH] a: b", "Ann"),
        ("[PATCH] a: b\nSigned-off-by: Ann <a@x>\n", "[PATCH] a: b", "Ann <a@x>"),
        (
            "[PATCH] a: b\nAnn posted 1 patch\nSigned-off-by: B <b@x>\nSigned-off-by: Ann <a@x>",
            "[PATCH] a: b",
            "Ann <a@x>",
        ),
        ("[PATCH] a: b\n\nAnn via Qemu-devel\nTue, 09 Sep 2025 05:00:00 -0700\n", "[PATCH] a: b", "Ann"),
        ("[PATCH] a: b\nAnn's profile photo\nAnn\nSep 9, 2025, 12:00:00 PM\n", "[PATCH] a: b", "Ann"),
        ("  Subject: [PATCH] a: b\n     From: Ann <a@x>\n", "[PATCH] a: b", "Ann <a@x>"),
        ("From\tAnn <>\nSubject\t[PATCH] a: b\n", "[PATCH] a: b", "Ann"),
        ("a: b\nMessage ID\t1@x\nCommit Message\nAnn Sept. 9, 2025, noon UTC\n", "a: b", "Ann"),
        ("Author: Ann <a@x>\nAuthorDate: Tue\nCommit: B <b@x>\nCommitDate: Tue\n\n    a: b\n", "a: b", "Ann <a@x>"),
        ("Subject: a\nFrom:  Ann <a () x ! org>\n", "a", "Ann <a@x.org>"),
    ],
)
def test_title_and_author_as_readers_find_them(before: str, title: str, author: str) -> None:
    assert title_and_author(before) == (title, author)

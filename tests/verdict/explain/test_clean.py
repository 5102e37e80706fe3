from __future__ import annotations

import pytest

from qstress.verdict.explain.clean import cleaned


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"CPU#0\r\nEIP=1\r\r\n\rend", "CPU#0\nEIP=1\n\nend"),
        (rb'{"return": "\r\nCPU#0\r\nEAX=1\n"}', '{"return": "\nCPU#0\nEAX=1\n"}'),
        (b"\x1b[K\x1b[3Dinfo\x1b[0m\x00\x08 x", "info x"),
        ("CPU#0".encode("utf-16"), "CPU#0"),
        (b"\xff EIP", "\ufffd EIP"),
        ("EAX=1\u00a0EBX=2\u2003ECX=\u200b3".encode(), "EAX=1 EBX=2 ECX=3"),
        (rb"CPU\#0 EIP\=1 C:\dir", r"CPU#0 EIP=1 C:\dir"),
        (b"**qemu: hardware error:** x *** Guest State *** **", "qemu: hardware error: x *** Guest State *** "),
        (b"<div>EDX=1</div><div>ESI=2</div>", "\nEDX=1\n\nESI=2\n"),
        (b"<blockquote><strong>x</strong></blockquote> a &amp;gt; b Code=<dd>", "\nx\n a > b Code=<dd>"),
        (b"a<br/>\n<b>EIP</b>=1 &gt; 2 Code=<00> &amp;", "a\nEIP=1 > 2 Code=<00> &"),
    ],
)
def test_marks_of_terminals_json_and_pages_go(data: bytes, text: str) -> None:
    assert cleaned(data) == text


def test_quoted_printable_is_decoded_where_a_value_proves_it() -> None:
    assert cleaned(b"> EIP=3D0000fff0 HL=\nT=3D1=20\n> x=C2=A0y\n") == "> EIP=0000fff0 HLT=1 \n> x y\n"
    assert cleaned(b"> EIP=3D0000fff0 SM=\n> M=3D0\n") == "> EIP=0000fff0 SMM=0\n"


def test_a_plain_dump_next_to_an_encoded_one_stays() -> None:
    assert cleaned(b"EIP=3D0000fff0\nEAX=20000000 EBX=00000000\n").endswith("\nEAX=20000000 EBX=00000000\n")


@pytest.mark.parametrize("text", ["EAX=3d001000 ESP=0\n", "see ?id=3Dx\n", "GDT=\n     00000000\n"])
def test_what_only_looks_encoded_stays(text: str) -> None:
    assert cleaned(text.encode()) == text


@pytest.mark.parametrize(
    ("broken", "joined"),
    [
        ("RDX=00000000000\n00012 x", "RDX=0000000000000012 x"),
        ("> EDX=0000\n> 0663\n", "> EDX=00000663\n"),
        ("RIP=ffffffff\n> 81a3b14b RFL=00000246\n", "RIP=ffffffff81a3b14b RFL=00000246\n"),
        ("RFL=00000246\n00000010\n", "RFL=00000246\n00000010\n"),
        ("GS =0000 ffff8880\n7fc00000 ffffffff 00000000\n", "GS =0000 ffff88807fc00000 ffffffff 00000000\n"),
        ("CS =0008 0000\n0000 ffffffff 00c09b00\n", "CS =0008 00000000 ffffffff 00c09b00\n"),
        ("CS =0008 00000000\nffffffff 00c09b00\nSS =0010 ", "CS =0008 00000000\nffffffff 00c09b00\nSS =0010 "),
        ("EAX=00000000\n12345678 is a number\n", "EAX=00000000\n12345678 is a number\n"),
        ("EAX=0000\nEBX=0001\n", "EAX=0000\nEBX=0001\n"),
    ],
)
def test_a_value_broken_in_two_is_joined_where_both_make_a_register(broken: str, joined: str) -> None:
    assert cleaned(broken.encode()) == joined


def test_a_part_of_a_mail_in_base64_is_read() -> None:
    mail = "Content-Transfer-Encoding: base64\nX-More: 1\n\nQ1BVIzAKRUlQPTAwMDBmZmYw\nCg==\n--b--\n"
    assert "\nCPU#0\nEIP=0000fff0\n" in cleaned(mail.encode())
    for broken in ("Q", "QQ=QQ", "====", "Q1BVI"):
        assert cleaned(mail.replace("Cg==", broken).encode())

from __future__ import annotations

import base64
import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.errors import ConfigError, RigError
from qstress.qemu_build.patches import Patch, apply_patches, preview, read_patches
from tests.host.trees import SOURCE, diff, hunk, mail, mbox, tree

OURS = Path(__file__).parents[2] / "docs/smi-writeback.patch"
BOTH_RACES = Path(__file__).parents[2] / "docs/both-races"
BODY = f"Why it is so.\n\nSigned-off-by: A\n---\n target/kvm.c | 2 +-\n\n{diff(5, 'five = 5')}-- \n2.39.5\n"


def read(folder: Path, data: bytes | str) -> tuple[Patch, ...]:
    path = folder / "x.patch"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_patches(path)


def kvm_c(folder: Path, *patches: Patch) -> str:
    """What the fake tree's file is after *patches*."""
    copy = tree(folder / "tree")
    for patch in patches:
        apply_patches([patch], copy)
    return (copy / "target/kvm.c").read_text()


def refused(patch: Patch, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        apply_patches([patch], folder)
    return str(caught.value)


def bare(text: str, *files: str) -> Patch:
    return Patch("x.patch", "", "", "", text.encode(), files or ("target/kvm.c",))


def test_the_mail_that_the_docs_start_from() -> None:
    (patch,) = read_patches(OURS)
    assert patch.file == "smi-writeback.patch"
    assert patch.subject == "i386/kvm: write the SMM part of the events back at reset only"
    assert patch.sha256 == hashlib.sha256(OURS.read_bytes()).hexdigest()
    assert patch.author == "qstress <qstress@example.org>"
    assert b"+    if (has_msr_smbase && level >= KVM_PUT_RESET_STATE) {\n" in patch.diff


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_mail_in_any_transfer_encoding(tmp_path: Path, encoding: str) -> None:
    body = BODY.replace("five = 5", "fünf = 5  ")
    (patch,) = read(tmp_path, mail("[PATCH v2] kvm: fünf", body, encoding=encoding))
    assert patch.subject == "kvm: fünf"
    assert patch.author == "Ann Uthor <a@example.org>"
    assert patch.label == "x.patch ('kvm: fünf')"
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "fünf = 5  \n")


def test_a_diff_in_another_character_set_stays_in_it_as_with_git_am(tmp_path: Path) -> None:
    head = b"Subject: x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    (patch,) = read(tmp_path, head + diff(5, "fünf").encode("latin-1"))
    apply_patches([patch], tree(tmp_path))
    assert "fünf\n".encode("latin-1") in (tmp_path / "target/kvm.c").read_bytes()


@pytest.mark.parametrize("data", [diff(5, "five"), diff(5, "five").partition("\n")[2]])
def test_a_bare_diff_has_no_author(tmp_path: Path, data: str) -> None:
    (patch,) = read(tmp_path, data)
    assert (patch.subject, patch.author, patch.label) == ("", "", "x.patch")
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "five\n")


def test_a_series_in_an_mbox_is_put_in_order_without_its_letters(tmp_path: Path) -> None:
    patches = read(
        tmp_path,
        mbox(
            mail("[PATCH v3 02/2] second", diff(5, "5b", old="5a")),
            mail("[PATCH v3 00/2] cover", "two patches\n"),
            mail("Re: [PATCH v3 01/2] first", f"Better so:\n\n{diff(9, 'a reviewer')}"),
            mail("[PATCH v3 01/2] first", diff(5, "5a")),
        ),
    )
    assert [patch.subject for patch in patches] == ["first", "second"]
    assert kvm_c(tmp_path, *patches) == SOURCE.replace("line 5\n", "5b\n")


def test_mails_without_numbers_stay_in_their_order(tmp_path: Path) -> None:
    patches = read(tmp_path, mbox(mail("[PATCH] b", diff(5, "b")), mail("[PATCH] a", diff(6, "a"))))
    assert [patch.subject for patch in patches] == ["b", "a"]


def test_a_diff_in_a_reply_counts_where_there_is_nothing_else(tmp_path: Path) -> None:
    (patch,) = read(tmp_path, mail("Re: [PATCH] kvm: x", f"> quoted\n\nRather:\n\n{diff(5, 'five')}"))
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "five\n")


def test_a_list_that_rewrites_senders(tmp_path: Path) -> None:
    (patch,) = read(tmp_path, mail("[PATCH] x", f"From: Real <r@example.org>\n\n{BODY}", author="via <list@x.org>"))
    assert patch.author == "Real <r@example.org>"


def test_the_diff_may_be_an_attachment(tmp_path: Path) -> None:
    text = (
        "Subject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
        f"--B\nContent-Type: text/plain\n\nsee there\n\n--B\nContent-Type: text/x-patch\n\n{diff(5, 'five')}\n--B--\n"
    )
    (patch,) = read(tmp_path, text)
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "five\n")


def test_line_ends_of_another_system(tmp_path: Path) -> None:
    both = mbox(mail("[PATCH 2/2] b", diff(30, "x")), mail("[PATCH 1/2] a", BODY)).replace(b"\n", b"\r\n")
    patches = read(tmp_path, both)
    assert [patch.subject for patch in patches] == ["a", "b"]
    assert kvm_c(tmp_path, *patches) == SOURCE.replace("line 5\n", "five = 5\n").replace("line 30\n", "x\n")


def test_line_ends_of_another_system_inside_an_encoding(tmp_path: Path) -> None:
    head = b"Subject: x\nContent-Transfer-Encoding: base64\n\n"
    (patch,) = read(tmp_path, head + base64.encodebytes(BODY.replace("\n", "\r\n").encode()))
    assert b"\r" not in patch.diff
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "five = 5\n")


@pytest.mark.parametrize("subject", [b"=?no-such-set?q?a?=", b"=?utf-8?q?=ff?=", b"\xff"])
def test_a_wrongly_encoded_subject_stands_as_it_is(tmp_path: Path, subject: bytes) -> None:
    (patch,) = read(tmp_path, b"Subject: " + subject + b"\n\n" + diff(5, "five").encode())
    assert patch.subject


def test_a_diff_quoted_in_the_message_is_not_applied(tmp_path: Path) -> None:
    quoted = "".join(f"  {line}\n" for line in diff(9, "wrong").splitlines())
    (patch,) = read(tmp_path, mail("[PATCH] x", f"Unlike\n\n{quoted}\n{BODY}"))
    assert kvm_c(tmp_path, patch) == SOURCE.replace("line 5\n", "five = 5\n")


@pytest.mark.parametrize("data", ["", "hello\n", "Subject: x\n\nno diff\n", "\xff\0"])
def test_a_file_without_a_patch(tmp_path: Path, data: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.patch: there is no patch in it"):
        read(tmp_path, data)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.patch: cannot be read: No such file"):
        read_patches(tmp_path / "none.patch")


@settings(deadline=None)  # git is started for each file
@given(st.lists(st.sampled_from([
    b"From x Tue Sep  9 12:00:00 2025\n", b"Subject:", b"From: <\"@", b" =?utf-8?q?=1b?=", b"\n", b"\n\n", b"\xff",
    b"Content-Type: multipart/mixed; boundary=B", b"--B\n", b"Content-Transfer-Encoding: base64", b"=?x?b?!?=",
    b"Content-Type: text/plain; charset=none", diff(5, "x").encode(), b"[PATCH 1/2]", b"Re: ",
]), max_size=12).map(b"".join))  # fmt: skip
def test_no_file_is_an_internal_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.patch"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        assert all(patch.diff and "\x1b" not in patch.label for patch in read_patches(path))


def test_a_patch_that_does_not_apply_is_told_by_file_and_hunk(tmp_path: Path) -> None:
    one = diff(5, "x", old="other") + hunk(30, "x")
    two = diff(7, "x", file="target/gone.c")
    (tree(tmp_path) / "target/tcg.c").write_text("line 1\n")
    three = diff(9, "x", file="target/tcg.c")
    assert refused(bare(one + two + three, "target/kvm.c", "target/gone.c", "target/tcg.c"), tmp_path) == (
        "x.patch does not apply: target/kvm.c: hunk at line 4; target/gone.c: there is no such file in the tree; "
        "target/tcg.c: hunk at line 8"
    )


def test_a_hunk_may_have_moved_but_not_changed(tmp_path: Path) -> None:
    copy = tree(tmp_path)
    (copy / "target/kvm.c").write_text("first\n" + SOURCE)
    apply_patches([bare(diff(5, "five"))], copy)
    assert (copy / "target/kvm.c").read_text() == "first\n" + SOURCE.replace("line 5\n", "five\n")
    (copy / "target/kvm.c").write_text(SOURCE.replace("line 4\n", "line four\n"))
    assert "target/kvm.c: hunk at line 4" in refused(bare(diff(5, "five")), copy)


def test_a_patch_that_is_already_there(tmp_path: Path) -> None:
    copy = tree(tmp_path)
    new = "diff --git a/new.c b/new.c\nnew file mode 100644\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+x\n"
    for patch in (bare(diff(5, "five")), bare(new, "new.c")):
        apply_patches([patch], copy)
        assert "it is already there" in refused(patch, copy)
    assert (copy / "new.c").read_text() == "x\n"


@pytest.mark.parametrize("text", [diff(5, "five") + "@@ -20,3 +20,3 @@\nnonsense\n", "diff --git a/x b/x\n"])
def test_a_broken_patch_is_refused_in_the_words_of_git(tmp_path: Path, text: str) -> None:
    assert refused(bare(text), tree(tmp_path)).startswith("x.patch does not apply: ")


def test_nothing_outside_the_tree_is_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside.c"
    outside.write_text(SOURCE)
    for name in ("../outside.c", str(outside)):
        text = diff(5, "evil").replace("a/target/kvm.c", f"a/{name}").replace("b/target/kvm.c", f"b/{name}")
        refused(bare(text, name), tree(tmp_path / "tree"))
    assert outside.read_text() == SOURCE


def test_nothing_beyond_a_symbolic_link_is_touched(tmp_path: Path) -> None:
    copy = tree(tmp_path / "tree")
    (copy / "target").rename(tmp_path / "outside")
    (copy / "target").symlink_to(tmp_path / "outside")
    assert "beyond a symbolic link" in refused(bare(diff(5, "evil")), copy)
    assert (tmp_path / "outside/kvm.c").read_text() == SOURCE


def test_a_series_is_applied_whole_or_not_at_all(tmp_path: Path) -> None:
    copy = tree(tmp_path)
    with pytest.raises(ConfigError, match="hunk at line 8"):
        apply_patches([bare(diff(5, "five")), bare(diff(9, "x", old="other"))], copy)
    assert (copy / "target/kvm.c").read_text() == SOURCE
    apply_patches([bare(diff(5, "five")), bare(diff(5, "5", old="five"))], copy)
    assert (copy / "target/kvm.c").read_text() == SOURCE.replace("line 5\n", "5\n")


def test_a_dry_run_says_what_would_be_applied_and_writes_nothing(tmp_path: Path) -> None:
    copy, path = tree(tmp_path / "tree"), tmp_path / "x.mbox"
    path.write_bytes(mbox(mail("[PATCH 1/2] a", diff(5, "five")), mail("[PATCH 2/2] b", diff(5, "5", old="five"))))
    patches, why = preview([path], copy)
    assert [patch.described for patch in patches] == [
        f"x.mbox ('{title}') by 'Ann Uthor <a@example.org>': 'target/kvm.c'" for title in "ab"
    ]
    assert (why, (copy / "target/kvm.c").read_text()) == ("", SOURCE)
    path.write_bytes(mail("[PATCH] a", diff(5, "five", old="other")))
    patches, why = preview([path], copy)
    assert (len(patches), why) == (1, "x.mbox ('a') does not apply: target/kvm.c: hunk at line 4")
    assert preview([tmp_path / "none"], copy)[0] == []
    assert "no folder" in preview([path], tmp_path / "none")[1]


def test_a_host_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="install the Debian package git") as caught:
        apply_patches([bare(diff(5, "x"))], tree(tmp_path))
    assert caught.value.reason == "build-needs"


def test_a_series_is_taken_out_again_last_patch_first(tmp_path: Path) -> None:
    series = [*read(tmp_path, mail("[PATCH] one", diff(5, "five"))), *read(tmp_path, diff(5, "V", old="five"))]
    folder = tree(tmp_path / "tree")
    apply_patches(series, folder)
    apply_patches(series, folder, reverse=True)
    assert (folder / "target/kvm.c").read_text() == SOURCE
    with pytest.raises(ConfigError, match="cannot be taken out: it is not there"):
        apply_patches(series[:1], folder, reverse=True)

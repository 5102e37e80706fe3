"""Building the interposer, and what it does to calls, shown on a fake KVM that is preloaded behind it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.interposer import build as interposer
from qstress.interposer.build import PREBUILT, environment, library
from qstress.interposer.log import Counters, open_log, read_counters
from qstress.interposer.windows import LOG_BYTES
from qstress.model import Smm, SmmWriteback
from tests.interposer.fake import calls
from tests.samples import build
from tools import prebuild_interposer

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
PRETENDING = build(smm=Smm.PRETENDED)
FIXED = build(smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The committed library does not fit."""
    monkeypatch.setattr(interposer, "PREBUILT", tmp_path / "nothing.so")


class TestPrebuilt:
    def test_is_taken_without_a_compiler_and_a_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
        assert library() == PREBUILT

    @needs_compiler
    def test_is_built_again_byte_for_byte(self, tmp_path: Path) -> None:
        said = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
        compiler = said.partition(" ")[2].encode()
        if b"GCC: " + compiler not in PREBUILT.read_bytes():
            pytest.skip(f"made by another compiler than {said}: NOT shown that it is the source's")
        assert prebuild_interposer.build(tmp_path / "again.so").read_bytes() == PREBUILT.read_bytes()

    @needs_compiler
    @pytest.mark.parametrize("changed", ["interpose.c", "interpose-x86_64.so", "SHA256SUMS"])
    def test_another_source_or_library_is_compiled(
        self, changed: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, path in (("SOURCE", interposer.SOURCE), ("PREBUILT", PREBUILT), ("SUMS", interposer.SUMS)):
            copy = tmp_path / path.name
            copy.write_bytes(path.read_bytes() + (b"\n" if path.name == changed else b""))
            monkeypatch.setattr(interposer, name, copy)
        if changed == "SHA256SUMS":
            interposer.SUMS.write_text("nonsense\n")
        assert library().parent == cache

    @needs_compiler
    def test_is_compiled_where_it_cannot_be_named(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "a b"
        folder.mkdir()
        shutil.copy(PREBUILT, folder)
        monkeypatch.setattr(interposer, "PREBUILT", folder / PREBUILT.name)
        assert library().parent == cache

    @pytest.mark.parametrize("compiler", ["cc", "musl-gcc"])
    def test_serves_glibc_and_musl(self, compiler: str, tmp_path: Path) -> None:
        if shutil.which(compiler) is None:
            pytest.skip(f"no {compiler}: NOT shown under its libc")
        source = tmp_path / "who.c"
        source.write_text(WHOSE_IOCTL)
        subprocess.run([compiler, "-o", str(tmp_path / "who"), str(source), "-ldl"], check=True)
        done = subprocess.run(
            [str(tmp_path / "who")], env={"LD_PRELOAD": str(PREBUILT)}, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{PREBUILT} {errno.ENOTTY}\n"


#: Prints which library ioctl() is of, and what it makes of a request that /dev/null does not know.
WHOSE_IOCTL = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
int main(void)
{
    Dl_info about;
    if (!dladdr((void *)ioctl, &about) || ioctl(open("/dev/null", O_RDWR), 0xae00, 0) != -1)
        return 1;
    return printf("%s %d\\n", about.dli_fname, errno) < 0;
}
"""


@needs_compiler
@pytest.mark.usefixtures("compiled")
class TestLibrary:
    def test_is_built_once_into_a_private_folder(self, cache: Path) -> None:
        path = library()
        assert path.parent == cache
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
        made = path.stat()
        assert library() == path
        assert path.stat().st_mtime_ns == made.st_mtime_ns
        assert list(cache.iterdir()) == [path]

    def test_another_source_is_another_library(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = library()
        changed = tmp_path / "interpose.c"
        changed.write_text(interposer.SOURCE.read_text() + "\n/* changed */\n")
        monkeypatch.setattr(interposer, "SOURCE", changed)
        assert library() != first

    def test_is_safe_to_build_at_once(self, cache: Path) -> None:
        with ThreadPoolExecutor(4) as threads:
            assert len({future.result() for future in [threads.submit(library) for _ in range(4)]}) == 1
        assert len(list(cache.iterdir())) == 1

    def test_without_a_usable_xdg_cache_home_it_is_in_the_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for useless in ("", "relative/folder"):
            monkeypatch.setenv("XDG_CACHE_HOME", useless)
            assert library().parent == tmp_path / ".cache" / "qstress"

    def test_a_compile_error_carries_the_compilers_words(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "broken.c"
        broken.write_text("int x = y;\n")
        monkeypatch.setattr(interposer, "SOURCE", broken)
        with pytest.raises(RigError, match="undeclared") as caught:
            library()
        assert caught.value.reason == "compile"
        assert list(cache.iterdir()) == []

    def test_a_missing_header_names_the_package(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "broken.c"
        broken.write_text("#include <no_such_header.h>\n")
        monkeypatch.setattr(interposer, "SOURCE", broken)
        with pytest.raises(RigError, match="libc6-dev"):
            library()

    def test_a_cache_that_is_no_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        with pytest.raises(RigError, match="set XDG_CACHE_HOME") as caught:
            library()
        assert caught.value.reason == "cache"

    def test_a_path_that_cannot_be_preloaded_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a b"))
        with pytest.raises(RigError, match="LD_PRELOAD cannot name"):
            library()


@pytest.mark.usefixtures("compiled")
def test_no_compiler_names_the_packages(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="packages gcc and libc6-dev") as caught:
        library()
    assert caught.value.reason == "no-compiler"


def test_a_build_that_needs_no_interposer_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment(build()) == {}


def test_environment(cache: Path) -> None:
    path = str(library())
    assert environment(PRETENDING) == {"LD_PRELOAD": path, "QSTRESS_INTERPOSE_SMM": "pretend"}
    assert environment(build(smm=Smm.REAL, smm_writeback=SmmWriteback.RESET_ONLY)) == {
        "LD_PRELOAD": path,
        "QSTRESS_INTERPOSE_WRITEBACK": "reset-only",
    }
    assert environment(build(), log_fd=9) == {"LD_PRELOAD": path, "QSTRESS_INTERPOSE_LOG_FD": "9"}


def test_what_is_preloaded_already_stays_in_front(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/inherited.so")
    assert environment(PRETENDING)["LD_PRELOAD"] == f"/inherited.so:{library()}"
    own = build(smm=Smm.PRETENDED, env=(("LD_PRELOAD", "/sanitizer.so"),))
    assert environment(own)["LD_PRELOAD"] == f"/sanitizer.so:{library()}"


def test_a_hold_is_given_in_nanoseconds_and_needs_no_log(cache: Path) -> None:
    path = str(library())
    assert environment(build()) == {}
    assert environment(build(hold_write_s=1e-3)) == {
        "LD_PRELOAD": path,
        "QSTRESS_INTERPOSE_HOLD_WRITE_NS": "1000000",
    }
    assert environment(build(hold_read_s=0.0001, hold_until_checkin_s=2), 9) == {
        "LD_PRELOAD": path,
        "QSTRESS_INTERPOSE_LOG_FD": "9",
        "QSTRESS_INTERPOSE_HOLD_READ_NS": "100000",
        "QSTRESS_INTERPOSE_HOLD_UNTIL_CHECKIN_NS": "2000000000",
    }


@needs_compiler
@pytest.mark.usefixtures("cache")
class TestCalls:
    """The fake KVM lists MSRs 0x10, 0x11, 0x12, reads n as 100 + n, refuses 0x9e and 0x666; -E2BIG is -7."""

    def test_the_list_gets_one_more(self, fake_kvm: Path) -> None:
        asked = [["list", room] for room in (0, 3, 4, 9)]
        assert calls(fake_kvm, {}, *asked)[:2] == [[-7, 3, []], [0, 3, [0x10, 0x11, 0x12]]]
        answers = calls(fake_kvm, environment(PRETENDING), *asked)
        assert [answer[:2] for answer in answers] == [[-7, 4], [-7, 4], [0, 4], [0, 4]]
        assert answers[2][2] == [0x10, 0x11, 0x12, 0x9E]

    def test_what_the_kernel_lists_itself_is_not_added_and_not_kept_out(self, fake_kvm: Path) -> None:
        env = {**environment(PRETENDING), "FAKE_SMBASE": "1"}
        answers = calls(fake_kvm, env, ["list", 9], ["get", [0x9E]], ["set", [[0x9E, 5]]])
        assert answers == [[0, 4, [0x10, 0x11, 0x12, 0x9E]], [1, [100 + 0x9E]], [1, [[0x9E, 5]]]]

    @pytest.mark.parametrize("at", range(4))
    def test_reads_get_the_reset_value_in_its_place(self, fake_kvm: Path, at: int) -> None:
        others = [0x10, 0x11, 0x12]
        indices = [*others[:at], 0x9E, *others[at:]]
        expected = [0x30000 if index == 0x9E else 100 + index for index in indices]
        assert calls(fake_kvm, environment(PRETENDING), ["get", indices]) == [[4, expected]]

    def test_a_refused_msr_ends_a_read_where_it_would_have_ended(self, fake_kvm: Path) -> None:
        answers = calls(
            fake_kvm, environment(PRETENDING),
            ["get", [0x10, 0x666, 0x9E]], ["get", [0x10, 0x9E, 0x666, 0x11]], ["get", [0x9E]], ["get", [0x10, 0x11]],
        )  # fmt: skip
        assert answers == [[1, [110 + 6, 0, 0]], [2, [110 + 6, 0x30000, 0, 0]], [1, [0x30000]], [2, [116, 117]]]

    def test_writes_do_not_reach_kvm_with_it(self, fake_kvm: Path) -> None:
        writes = [[0x10, 1], [0x9E, 2], [0x11, 3]]
        assert calls(fake_kvm, {}, ["set", writes]) == [[1, [[0x10, 1]]]]
        assert calls(fake_kvm, environment(PRETENDING), ["set", writes]) == [[3, [[0x10, 1], [0x11, 3]]]]

    @pytest.mark.parametrize("total", [255, 256, 300])
    def test_as_many_as_the_caller_likes(self, fake_kvm: Path, total: int) -> None:
        answers = calls(fake_kvm, environment(PRETENDING), ["get", [0x10] * (total - 1) + [0x9E]])
        assert answers[0][0] == (total if total <= 256 else total - 1)

    def test_events_lose_smm_at_run_time_only_and_only_on_the_way(self, fake_kvm: Path) -> None:
        """Flags: 1 marks reset level, 8 the SMM part. Answers: result, flags as KVM got them, flags afterwards."""
        events = [["events", flags] for flags in (0x8, 0xC, 0x9, 0xD, 0x4)]
        as_is, fixed = calls(fake_kvm, environment(PRETENDING), *events), calls(fake_kvm, environment(FIXED), *events)
        assert as_is == [[0, flags, flags] for _, flags in events]
        assert fixed == [[0, 0, 8], [0, 4, 0xC], [0, 9, 9], [0, 0xD, 0xD], [0, 4, 4]]

    def test_counting(self, fake_kvm: Path) -> None:
        events = [["events", flags] for flags in (0x8, 0xC, 0x9, 0xD, 0x4)]
        for made, passed in ((build(), 2), (PRETENDING, 2), (FIXED, 0)):
            fd = open_log()
            try:
                calls(fake_kvm, environment(made, fd), *events, log_fd=fd)
                assert read_counters(fd) == Counters(runtime=3, runtime_asked=2, runtime_passed=passed, reset=2)
            finally:
                os.close(fd)

    @pytest.mark.parametrize("number", ["", "x", "-1", "99", "99999999999999999999", "1", "0x3"])
    def test_a_log_that_is_none_is_left_alone(self, fake_kvm: Path, number: str) -> None:
        env = {**environment(FIXED), "QSTRESS_INTERPOSE_LOG_FD": number}
        assert calls(fake_kvm, env, ["events", 8]) == [[0, 0, 8]]

    @pytest.mark.parametrize("content", [b"", b"qstrlog2", b"qstrlog1" + bytes(LOG_BYTES), b"x" * LOG_BYTES])
    def test_a_file_that_is_no_log_is_left_alone(self, fake_kvm: Path, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(content)
        with path.open("r+b") as file:
            calls(fake_kvm, environment(FIXED, file.fileno()), ["events", 8], log_fd=file.fileno())
        assert path.read_bytes() == content

    def test_other_programs_are_unaffected(self) -> None:
        env = {**os.environ, **environment(FIXED, 99)}
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", "echo $((6 * 7)); exit 3"],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (3, "42\n", "")

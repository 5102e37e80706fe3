#!/bin/sh
# A soak as a kselftest: KTAP on stdout, and the exit code that kselftest.h gives a meaning to. Put it into a folder of
# tools/testing/selftests whose Makefile says TEST_PROGS := kselftest.sh, and whose file settings says timeout=600 (the
# runner's own limit is 45 s).
qstress soak "${QSTRESS_CONFIG:-quickstart.yaml}" --format tap --quiet
code=$?
case $code in
    0 | 1) exit $code ;;  # KSFT_PASS, KSFT_FAIL
    4 | 5) exit 4 ;;      # the host cannot do it, or too few trials to tell: KSFT_SKIP
    *) exit 1 ;;          # 2, a configuration that is wrong, would be KSFT_XFAIL
esac

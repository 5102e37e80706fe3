#!/bin/sh
# A soak as a test of tmt: each case is a result of its own.
cd "$TMT_TEST_DATA" || exit 1
qstress soak "${QSTRESS_CONFIG:-quickstart.yaml}" --format tap --quiet >soak.tap
code=$?
printf -- '- {name: /, result: %s, note: [qstress ended with %s], log: [soak.tap]}\n' \
    "$(case $code in 0) echo pass ;; 1) echo fail ;; 4) echo error ;; 5) echo warn ;; *) echo error ;; esac)" $code \
    >results.yaml
awk -v quote="'" '/^(not )?ok / {
    result = / # SKIP / ? "skip" : / # ERROR / ? "error" : $1 == "ok" ? "pass" : "fail"
    sub(/^(not )?ok [0-9]+ /, ""); sub(/ # .*/, ""); gsub(quote, quote quote)
    print "- {name: " quote "/" $0 quote ", result: " result "}"
}' soak.tap >>results.yaml

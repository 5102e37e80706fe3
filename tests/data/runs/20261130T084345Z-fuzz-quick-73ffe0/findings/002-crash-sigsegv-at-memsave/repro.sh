#!/bin/sh
# crash: SIGSEGV at memsave
# Found by qstress on QEMU 7.2.22. Needs QEMU and a shell:  sh repro.sh [QEMU]
# Ends with 0 when it shows, with 1 when it does not.
# This runs QEMU in a new folder, but without qstress's sandbox, where 64 MiB can be written and then the disk is full;
# `qstress repro` on this folder runs it confined.
qemu=${1:-/usr/bin/qemu-system-x86_64}
dir=$(mktemp -d) && cd "$dir" || exit 2
mkfifo qmp.in qmp.out hmp.in hmp.out
exec 3<>qmp.in 4<>hmp.in 5<>qmp.out 6<>hmp.out
"$qemu" -display none \
    -chardev pipe,id=qmp,path=qmp -mon chardev=qmp,mode=control \
    -chardev pipe,id=hmp,path=hmp -mon chardev=hmp,mode=readline -S >stderr 2>&1 &
pid=$!
cat <&5 >qmp.log & cat5=$!
cat <&6 >hmp.log & cat6=$!
trap 'kill -9 $pid $cat5 $cat6 2>/dev/null; cd /; rm -rf "$dir"' EXIT

lives() { test -d /proc/$pid && ! grep -q '^State:.Z' /proc/$pid/status; }
# await COMMAND...: until it succeeds or QEMU is gone, at most 10 s
await() {
    silent=yes tries=100
    while lives && test $tries -gt 0; do
        if "$@"; then silent=; return; fi
        tries=$((tries - 1))
        sleep 0.1
    done
    lives || silent=
}
reply() { grep -aq "\"id\": \"$1\"" qmp.log; }
names() { grep -a "\"return\": .*\"id\": \"$1\"" qmp.log >line && grep -aoE '"(name|label|node-name|status)": "([^"#]*)"' line | sort -u; }
event() { grep -aq "\"event\": \"$1\"" qmp.log; }
prompts() { test "$(grep -ao '(qemu) ' hmp.log | wc -l)" -ge "$1"; }
anon() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status; }

printf '%b' '{"execute": "qmp_capabilities", "arguments": {}, "id": "r1"}\n' >&3
await reply r1
printf '%b' '{"execute":"memsave","arguments":{"val":2,"size":-256,"filename":"qmp_*"},"id":"q175"}\n' >&3
await reply q175
await false  # until QEMU is gone
lives && { echo 'QEMU lives'; exit 1; }
wait $pid; status=$?; tail -3 stderr
echo "QEMU ended with status $status (139 is SIGSEGV)"; test $status -eq 139

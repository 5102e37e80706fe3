"""How commands are sent that need more than arguments of the right shape: things to work on, a way back (pure).

A step is an HMP line, or ``qmp NAME {arguments}``. ``@`` in it is the number of the sending, so that the same command
can be carried out again and again; ``%`` stands before the name of a file. Steps without ``@`` that prepare something
are taken once a guest; they may be refused, since not every QEMU needs or has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to send a command: ``text`` follows its name (QMP: JSON), ``before`` and ``after`` are steps that are not
    charged to it, ``fresh``: it changes the guest so much that each sending needs a new one."""

    text: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fresh: bool = False


#: What guests of a survey have beside CPUs, so that commands find something to work on. Nodes are read-only because
#: ``savevm`` refuses a writable one that can hold no snapshot.
DEVICES: tuple[str, ...] = (
    *("-smp", "maxcpus=5,sockets=5,cores=1,threads=1"),
    *("-device", "virtio-balloon-pci,id=balloon0", "-device", "VGA,id=vga0", "-device", "vmgenid,id=gen0"),
    *("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,id=nic0,romfile="),
    *("-blockdev", "null-co,node-name=n0,size=1048576,read-zeroes=on,read-only=on"),
    *("-device", "virtio-blk-pci,drive=n0,id=d0", "-usb"),
    *("-drive", "if=none,id=cdd0,media=cdrom", "-device", "ide-cd,id=cd0,drive=cdd0"),
    *("-drive", "if=none,id=dr0,file.driver=null-co,file.size=65536,format=raw,readonly=on"),
    *("-chardev", "ringbuf,id=c0,size=4096", "-chardev", "null,id=c1", "-audiodev", "none,id=a0"),
    *("-object", "iothread,id=o0", "-object", "memory-backend-ram,id=mem0,size=1M"),
)


def _qcow2(node: str) -> tuple[str, ...]:
    """Return what makes a qcow2 image called *node*, with a node of that name."""
    options = f'{{"driver":"qcow2","file":"{node}-file","size":1048576}}'
    return (
        f'qmp blockdev-create {{"job-id":"mk-{node}","options":{{"driver":"file","filename":"{node}.img","size":0}}}}',
        f'qmp job-dismiss {{"id":"mk-{node}"}}',
        f'qmp blockdev-add {{"driver":"file","node-name":"{node}-file","filename":"{node}.img"}}',
        f'qmp blockdev-create {{"job-id":"mk1-{node}","options":{options}}}',
        f'qmp job-dismiss {{"id":"mk1-{node}"}}',
        f'qmp blockdev-add {{"driver":"qcow2","node-name":"{node}","file":"{node}-file"}}',
    )


_QCOW2 = _qcow2("q0")
_DRIVE = (*_qcow2("q1"), 'qmp blockdev-del {"node-name":"q1"}', 'qmp blockdev-del {"node-name":"q1-file"}',
          "drive_add 0 if=none,id=dq,file=q1.img,format=qcow2")  # fmt: skip
_PAIR = tuple(f'qmp blockdev-add {{"driver":"null-co","node-name":"{node}@","size":1048576}}' for node in "st")
_OF = '"job-id":"j@","device":"s@","target":"t@"'
_NEW_JOB = (*_PAIR, f'qmp blockdev-mirror {{{_OF},"sync":"full","speed":1}}')
_NO_JOB = ('qmp block-job-cancel {"device":"j@","force":true}', 'qmp job-dismiss {"id":"j@"}')
_READY = (*_PAIR, f'qmp blockdev-mirror {{{_OF},"sync":"none"}}')
_DONE = (*_PAIR, f'qmp blockdev-backup {{{_OF},"sync":"full","auto-dismiss":false}}')
_PENDING = (*_PAIR, f'qmp blockdev-backup {{{_OF},"sync":"full","auto-finalize":false}}')
_RAW = ('qmp blockdev-create {"job-id":"mk-raw","options":{"driver":"file","filename":"raw.img","size":65536}}',
        'qmp job-dismiss {"id":"mk-raw"}')  # fmt: skip
_DISMISS = ('qmp job-dismiss {"id":"j@"}',)
_BITMAP = (*_QCOW2, 'qmp block-dirty-bitmap-add {"node":"q0","name":"b0"}')
_NEW_BITMAP = (*_QCOW2, 'qmp block-dirty-bitmap-add {"node":"q0","name":"b@"}')
_NBD = ('qmp nbd-server-start {"addr":{"type":"unix","data":{"path":"nbd@"}}}',)
_NO_NBD = ("qmp nbd-server-stop {}",)
_EXPORT = (*_NBD, 'qmp block-export-add {"type":"nbd","id":"e@","node-name":"n0","name":"e@"}')
_SAVED = (*_QCOW2, "savevm t0")
_BASE = ('qmp blockdev-create {"job-id":"mk@","options":{"driver":"file","filename":"a@.img","size":65536}}',
         'qmp job-dismiss {"id":"mk@"}',
         'qmp blockdev-add {"driver":"file","node-name":"a@","filename":"a@.img"}')  # fmt: skip
_OVERLAY = '"node-name":"a@","snapshot-file":"ov@.img","snapshot-node-name":"ov@"'
_LAYER = (
    'qmp blockdev-create {"job-id":"ml@","options":{"driver":"file","filename":"l@.img","size":0}}',
    'qmp job-dismiss {"id":"ml@"}',
    'qmp blockdev-add {"driver":"file","node-name":"l@-file","filename":"l@.img"}',
    'qmp blockdev-create {"job-id":"ml@","options":{"driver":"qcow2","file":"l@-file","size":65536}}',
    'qmp job-dismiss {"id":"ml@"}',
)
_ON_LAYER = (*_BASE, *_LAYER,
             'qmp blockdev-add {"driver":"qcow2","node-name":"l@","file":"l@-file","backing":"a@"}')  # fmt: skip
_NULL = ('qmp getfd {"fdname":"null@"}',)
_CPU = '"driver":"qemu64-x86_64-cpu","socket-id":4,"core-id":0,"thread-id":0'

#: What a dump is called that is not numbered.
DUMP_FILE = "d0.elf"

#: What is no command of its own, or cannot be carried out in a way that says anything.
NOT_TRIED: dict[str, str] = {
    "quit": "it ends QEMU",
    "human-monitor-command": "it carries an HMP command: see those",
    "qmp_capabilities": "every connection begins with it; nothing was seen then",
}


def _ways(table: Mapping[str, Recipe | tuple[Recipe, ...]]) -> dict[str, tuple[Recipe, ...]]:
    """Return *table* with a tuple for the commands that are sent in one way, too."""
    return {name: ways if isinstance(ways, tuple) else (ways,) for name, ways in table.items()}


HMP = _ways(
    {
        "announce_self": Recipe(),
        "balloon": Recipe("32"),
        "block_job_cancel": Recipe("-f j@", _NEW_JOB, _NO_JOB),
        "block_job_complete": Recipe("j@", _READY, _NO_JOB),
        "block_job_pause": Recipe("j@", _NEW_JOB, _NO_JOB),
        "block_job_resume": Recipe("j@", (*_NEW_JOB, "block_job_pause j@"), _NO_JOB),
        "block_job_set_speed": Recipe("j@ 1", _NEW_JOB, _NO_JOB),
        "block_resize": Recipe("dq 2M", _DRIVE),
        "block_set_io_throttle": Recipe("dr0 0 0 0 0 0 0"),
        "block_stream": Recipe("dq", _DRIVE),
        "boot_set": Recipe("c"),
        "calc_dirty_rate": Recipe("1"),
        "cancel_vcpu_dirty_limit": Recipe(),
        "change": Recipe("cdd0 raw.img raw", _RAW),
        "chardev-add": Recipe("null,id=x@", (), ("chardev-remove x@",)),
        "chardev-change": Recipe("c1 null"),
        "chardev-remove": Recipe("x@", ("chardev-add null,id=x@",)),
        "chardev-send-break": Recipe("c0"),
        "commit": Recipe("all"),
        "cpu": Recipe("1", (), ("cpu 0",)),
        "delvm": Recipe("t@", (*_QCOW2, "savevm t@")),
        "device_add": (
            Recipe("usb-tablet,id=u@", (), ("device_del u@",)),
            Recipe("qemu64-x86_64-cpu,id=cpu4,socket-id=4,core-id=0,thread-id=0", fresh=True),
        ),
        "device_del": Recipe("u@", ("device_add usb-tablet,id=u@",)),
        "drive_add": Recipe("0 if=none,id=x@,file=null-co://,format=raw", (), ("drive_del x@",)),
        "drive_backup": Recipe("-f dr0 b@.img raw", (), ('qmp block-job-cancel {"device":"dr0","force":true}',)),
        "drive_del": Recipe("x@", ("drive_add 0 if=none,id=x@,file=null-co://,format=raw",)),
        "drive_mirror": Recipe("-f dr0 m@.img raw", (), ('qmp block-job-cancel {"device":"dr0","force":true}',)),
        "dump-guest-memory": (Recipe("%d@.elf 0 65536"), Recipe("-p %d@.elf 0 65536"), Recipe("-d %d@.elf 0 65536")),
        "eject": Recipe("-f cdd0"),
        "gdbserver": (Recipe("none"), Recipe("chardev:gdb", fresh=True)),
        "gpa2hpa": Recipe("0"),
        "gpa2hva": Recipe("0"),
        "gva2gpa": Recipe("0"),
        "help": Recipe("info"),
        "hostfwd_add": Recipe("net0 tcp:127.0.0.1:1@-:22"),
        "hostfwd_remove": Recipe("net0 tcp:127.0.0.1:1@", ("hostfwd_add net0 tcp:127.0.0.1:1@-:22",)),
        "i": Recipe("/1bx 0x60"),
        "info lapic": (Recipe(), Recipe("1")),
        "info registers": (Recipe("-a"), Recipe(), Recipe("1")),
        "info stats": (Recipe("vcpu"), Recipe("vm")),
        "info virtio-queue-element": Recipe("/machine/peripheral/balloon0/virtio-backend 0"),
        "info virtio-queue-status": Recipe("/machine/peripheral/balloon0/virtio-backend 0"),
        "info virtio-status": Recipe("/machine/peripheral/balloon0/virtio-backend"),
        "loadvm": Recipe("t0", _SAVED),
        "log": Recipe("none"),
        "logfile": Recipe("%l.log"),
        "mce": (Recipe("1 5 0x9000000000000000 0 0 0"), Recipe("1 5 0xb400000000000000 5 0 0", fresh=True)),
        "memsave": Recipe('0 4096 "%m.bin"'),
        "migrate": (Recipe("file:g.mig"), Recipe("-d file:g.mig")),
        "migrate_set_capability": Recipe("events on"),
        "migrate_set_parameter": Recipe("downtime-limit 300"),
        "mouse_button": Recipe("1"),
        "mouse_move": Recipe("1 1"),
        "mouse_set": Recipe("2"),
        "nbd_server_add": Recipe("n0 x@", _NBD, _NO_NBD),
        "nbd_server_remove": Recipe("x@", (*_NBD, "nbd_server_add n0 x@"), _NO_NBD),
        "nbd_server_start": Recipe("127.0.0.1:10809", (), _NO_NBD),
        "nbd_server_stop": Recipe("", _NBD),
        "netdev_add": Recipe("user,id=x@", (), ("netdev_del x@",)),
        "netdev_del": Recipe("x@", ("netdev_add user,id=x@",)),
        "nmi": Recipe(fresh=True),
        "one-insn-per-tb": Recipe("off"),
        "o": Recipe("/1b 0x80 0"),
        "object_add": Recipe("memory-backend-ram,id=x@,size=1M", (), ("object_del x@",)),
        "object_del": Recipe("x@", ("object_add memory-backend-ram,id=x@,size=1M",)),
        "pmemsave": Recipe('0 4096 "%m.bin"'),
        "print": (Recipe("$eip"), Recipe("1+1")),
        "qemu-io": Recipe('n0 "read 0 512"'),
        "qom-get": Recipe("/machine type"),
        "qom-list": Recipe("/machine"),
        "qom-set": Recipe("/objects/o0 poll-max-ns 1000"),
        "ringbuf_read": Recipe("c0 16"),
        "ringbuf_write": Recipe("c0 abc"),
        "savevm": Recipe("t@", _QCOW2),
        "screendump": Recipe("%s.ppm"),
        "sendkey": Recipe("a"),
        "set_link": Recipe("nic0 off", (), ("set_link nic0 on",)),
        "snapshot_blkdev": Recipe("dq o@.img qcow2", _DRIVE),
        "snapshot_blkdev_internal": Recipe("dq s@", _DRIVE),
        "snapshot_delete_blkdev_internal": Recipe("dq s@", (*_DRIVE, "snapshot_blkdev_internal dq s@")),
        "singlestep": Recipe("off"),
        "stopcapture": Recipe("0", ("wavcapture w@.wav a0",)),
        "sum": Recipe("0 4096"),
        "sync-profile": Recipe("off"),
        "system_reset": Recipe(),
        "trace-event": Recipe("qmp_job_cancel off"),
        "watchdog_action": Recipe("reset"),
        "wavcapture": Recipe("w@.wav a0", (), ("stopcapture 0",)),
        "x": Recipe("/4xw 0"),
        "xp": Recipe("/4xw 0"),
    }
)

QMP = _ways(
    {
        "add-fd": Recipe('{"fdset-id":1@}', (), ('qmp remove-fd {"fdset-id":1@}',)),
        "announce-self": Recipe('{"initial":50,"max":50,"rounds":2,"step":10}'),
        "balloon": Recipe('{"value":33554432}'),
        "block-commit": Recipe('{"job-id":"j@","device":"l@"}', _ON_LAYER, _NO_JOB),
        "block-dirty-bitmap-add": Recipe(
            '{"node":"q0","name":"b@"}', _QCOW2, ('qmp block-dirty-bitmap-remove {"node":"q0","name":"b@"}',)
        ),
        "block-dirty-bitmap-clear": Recipe('{"node":"q0","name":"b0"}', _BITMAP),
        "block-dirty-bitmap-disable": Recipe('{"node":"q0","name":"b0"}', _BITMAP),
        "block-dirty-bitmap-enable": Recipe('{"node":"q0","name":"b0"}', _BITMAP),
        "block-dirty-bitmap-merge": Recipe(
            '{"node":"q0","target":"b0","bitmaps":["b9"]}',
            (*_BITMAP, 'qmp block-dirty-bitmap-add {"node":"q0","name":"b9"}'),
        ),
        "block-dirty-bitmap-remove": Recipe('{"node":"q0","name":"b@"}', _NEW_BITMAP),
        "block-export-add": Recipe('{"type":"nbd","id":"e@","node-name":"n0","name":"e@"}', _NBD, _NO_NBD),
        "block-export-del": Recipe('{"id":"e@"}', _EXPORT, _NO_NBD),
        "block-job-cancel": Recipe('{"device":"j@","force":true}', _NEW_JOB),
        "block-job-change": Recipe('{"type":"mirror","id":"j@","copy-mode":"write-blocking"}', _READY, _NO_JOB),
        "block-job-complete": Recipe('{"device":"j@"}', _READY, _NO_JOB),
        "block-job-dismiss": Recipe('{"id":"j@"}', _DONE),
        "block-job-finalize": Recipe('{"id":"j@"}', _PENDING),
        "block-job-pause": Recipe('{"device":"j@"}', _NEW_JOB, _NO_JOB),
        "block-job-resume": Recipe('{"device":"j@"}', (*_NEW_JOB, 'qmp block-job-pause {"device":"j@"}'), _NO_JOB),
        "block-job-set-speed": Recipe('{"device":"j@","speed":1}', _NEW_JOB, _NO_JOB),
        "block-latency-histogram-set": Recipe('{"id":"/machine/peripheral/d0/virtio-backend"}'),
        "block-set-write-threshold": Recipe('{"node-name":"n0","write-threshold":4096}'),
        "block-stream": Recipe('{"job-id":"j@","device":"q0"}', _QCOW2, _DISMISS),
        "block_resize": Recipe('{"node-name":"q0","size":2097152}', _QCOW2),
        "block_set_io_throttle": Recipe(
            '{"device":"dr0","bps":0,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0}'
        ),
        "blockdev-add": Recipe('{"driver":"null-co","node-name":"x@"}', (), ('qmp blockdev-del {"node-name":"x@"}',)),
        "blockdev-backup": Recipe(f'{{{_OF},"sync":"full"}}', _PAIR),
        "blockdev-change-medium": Recipe('{"id":"cd0","filename":"raw.img","format":"raw"}', _RAW),
        "blockdev-close-tray": Recipe('{"id":"cd0"}'),
        "blockdev-create": Recipe(
            '{"job-id":"j@","options":{"driver":"file","filename":"c@.img","size":0}}', (), _DISMISS
        ),
        "blockdev-del": Recipe('{"node-name":"x@"}', ('qmp blockdev-add {"driver":"null-co","node-name":"x@"}',)),
        "blockdev-insert-medium": Recipe(
            '{"id":"cd0","node-name":"x@"}',
            (
                'qmp blockdev-open-tray {"id":"cd0"}',
                'qmp blockdev-remove-medium {"id":"cd0"}',
                'qmp blockdev-add {"driver":"null-co","node-name":"x@","read-only":true}',
            ),
            ('qmp blockdev-remove-medium {"id":"cd0"}',),
        ),
        "blockdev-mirror": Recipe(f'{{{_OF},"sync":"full"}}', _PAIR, _NO_JOB),
        "blockdev-open-tray": Recipe('{"id":"cd0"}'),
        "blockdev-remove-medium": Recipe('{"id":"cd0"}', ('qmp blockdev-open-tray {"id":"cd0"}',)),
        "blockdev-reopen": Recipe('{"options":[{"driver":"null-co","node-name":"s@","size":1048576}]}', _PAIR),
        "blockdev-set-active": Recipe('{"node-name":"n0","active":true}'),
        "blockdev-snapshot": Recipe(
            '{"node":"a@","overlay":"l@"}',
            (
                *_BASE,
                *_LAYER,
                'qmp blockdev-add {"driver":"qcow2","node-name":"l@","file":"l@-file","backing":null}',
            ),
        ),
        "blockdev-snapshot-delete-internal-sync": Recipe(
            '{"device":"dq","name":"s@"}', (*_DRIVE, "snapshot_blkdev_internal dq s@")
        ),
        "blockdev-snapshot-internal-sync": Recipe('{"device":"dq","name":"s@"}', _DRIVE),
        "blockdev-snapshot-sync": Recipe(f"{{{_OVERLAY}}}", _BASE),
        "calc-dirty-rate": (Recipe('{"calc-time":1}'), Recipe('{"calc-time":1,"mode":"dirty-bitmap"}')),
        "change-backing-file": Recipe('{"device":"l@","image-node-name":"l@","backing-file":"a@.img"}', _ON_LAYER),
        "chardev-add": Recipe(
            '{"id":"x@","backend":{"type":"null","data":{}}}', (), ('qmp chardev-remove {"id":"x@"}',)
        ),
        "chardev-change": Recipe('{"id":"c1","backend":{"type":"null","data":{}}}'),
        "chardev-remove": Recipe('{"id":"x@"}', ('qmp chardev-add {"id":"x@","backend":{"type":"null","data":{}}}',)),
        "chardev-send-break": Recipe('{"id":"c0"}'),
        "closefd": Recipe('{"fdname":"null@"}', _NULL),
        "device-list-properties": Recipe('{"typename":"virtio-balloon-pci"}'),
        "device-sync-config": Recipe('{"id":"d0"}'),
        "device_add": (
            Recipe('{"driver":"usb-tablet","id":"u@"}', (), ("device_del u@",)),
            Recipe(f'{{{_CPU},"id":"cpu4"}}', fresh=True),
        ),
        "device_del": Recipe('{"id":"u@"}', ("device_add usb-tablet,id=u@",)),
        "drive-backup": Recipe(
            '{"job-id":"j@","device":"dr0","target":"b@.img","format":"raw","sync":"full"}', (), _NO_JOB
        ),
        "drive-mirror": Recipe(
            '{"job-id":"j@","device":"dr0","target":"b@.img","format":"raw","sync":"full"}', (), _NO_JOB
        ),
        "dump-guest-memory": (
            Recipe('{"paging":false,"protocol":"file:%d@.elf","begin":0,"length":65536}'),
            Recipe('{"paging":true,"protocol":"file:%d@.elf","begin":0,"length":65536}'),
        ),
        "eject": Recipe('{"id":"cd0","force":true}'),
        "getfd": Recipe('{"fdname":"null@"}', (), ('qmp closefd {"fdname":"null@"}',)),
        "inject-nmi": Recipe(fresh=True),
        "input-send-event": Recipe(
            '{"events":[{"type":"key","data":{"down":false,"key":{"type":"qcode","data":"a"}}}]}'
        ),
        "job-cancel": Recipe('{"id":"j@"}', _NEW_JOB, _NO_JOB),
        "job-complete": Recipe('{"id":"j@"}', _READY, _NO_JOB),
        "job-dismiss": Recipe('{"id":"j@"}', _DONE),
        "job-finalize": Recipe('{"id":"j@"}', _PENDING),
        "job-pause": Recipe('{"id":"j@"}', _NEW_JOB, _NO_JOB),
        "job-resume": Recipe('{"id":"j@"}', (*_NEW_JOB, 'qmp job-pause {"id":"j@"}'), _NO_JOB),
        "memsave": (
            Recipe('{"val":0,"size":4096,"filename":"%m.bin"}'),
            Recipe('{"val":0,"size":4096,"filename":"%m.bin","cpu-index":1}'),
        ),
        "migrate": (Recipe('{"uri":"fd:null@"}', _NULL), Recipe('{"uri":"file:g.mig"}')),
        "migrate-set-capabilities": Recipe('{"capabilities":[{"capability":"events","state":true}]}'),
        "migrate-set-parameters": Recipe('{"downtime-limit":300}'),
        "nbd-server-add": Recipe('{"device":"n0","name":"x@"}', _NBD, _NO_NBD),
        "nbd-server-remove": Recipe(
            '{"name":"x@"}', (*_NBD, 'qmp nbd-server-add {"device":"n0","name":"x@"}'), _NO_NBD
        ),
        "nbd-server-start": Recipe('{"addr":{"type":"unix","data":{"path":"nbd@"}}}', (), _NO_NBD),
        "nbd-server-stop": Recipe("{}", _NBD),
        "netdev_add": Recipe('{"type":"user","id":"x@"}', (), ('qmp netdev_del {"id":"x@"}',)),
        "netdev_del": Recipe('{"id":"x@"}', ('qmp netdev_add {"type":"user","id":"x@"}',)),
        "object-add": Recipe(
            '{"qom-type":"memory-backend-ram","id":"x@","size":1048576}', (), ('qmp object-del {"id":"x@"}',)
        ),
        "object-del": Recipe(
            '{"id":"x@"}', ('qmp object-add {"qom-type":"memory-backend-ram","id":"x@","size":1048576}',)
        ),
        "pmemsave": Recipe('{"val":0,"size":4096,"filename":"%m.bin"}'),
        "qom-get": Recipe('{"path":"/machine","property":"type"}'),
        "qom-list": Recipe('{"path":"/machine"}'),
        "qom-list-get": Recipe('{"paths":["/machine"]}'),
        "qom-list-properties": Recipe('{"typename":"qemu64-x86_64-cpu"}'),
        "qom-set": Recipe('{"path":"/objects/o0","property":"poll-max-ns","value":1000}'),
        "query-cpu-model-expansion": Recipe('{"type":"full","model":{"name":"qemu64"}}'),
        "query-stats": (
            Recipe('{"target":"vcpu"}'),
            Recipe('{"target":"vm"}'),
            Recipe('{"target":"vcpu","vcpus":["/machine/unattached/device[0]"]}'),
        ),
        "remove-fd": Recipe('{"fdset-id":1@}', ('qmp add-fd {"fdset-id":1@}',)),
        "request-ebpf": Recipe('{"id":"rss"}'),
        "ringbuf-read": Recipe('{"device":"c0","size":16}'),
        "ringbuf-write": Recipe('{"device":"c0","data":"abc"}'),
        "screendump": Recipe('{"filename":"%s.ppm"}'),
        "send-key": Recipe('{"keys":[{"type":"qcode","data":"a"}]}'),
        "set-action": Recipe('{"watchdog":"reset"}'),
        "set_link": Recipe('{"name":"nic0","up":false}', (), ('qmp set_link {"name":"nic0","up":true}',)),
        "snapshot-delete": Recipe('{"job-id":"j@","tag":"t@","devices":["q0"]}', (*_QCOW2, "savevm t@"), _DISMISS),
        "snapshot-load": Recipe('{"job-id":"j@","tag":"t0","vmstate":"q0","devices":["q0"]}', _SAVED, _DISMISS),
        "snapshot-save": Recipe('{"job-id":"j@","tag":"t@","vmstate":"q0","devices":["q0"]}', _QCOW2, _DISMISS),
        "system_reset": Recipe(),
        "trace-event-get-state": Recipe('{"name":"qmp_job_cancel"}'),
        "trace-event-set-state": Recipe('{"name":"qmp_job_cancel","enable":false}'),
        "transaction": Recipe('{"actions":[]}'),
        "watchdog-set-action": Recipe('{"action":"reset"}'),
        "x-blockdev-set-iothread": Recipe(
            '{"node-name":"x@","iothread":null}', ('qmp blockdev-add {"driver":"null-co","node-name":"x@"}',)
        ),
        "x-debug-block-dirty-bitmap-sha256": Recipe('{"node":"q0","name":"b0"}', _BITMAP),
        "x-query-virtio-queue-element": Recipe('{"path":"/machine/peripheral/balloon0/virtio-backend","queue":0}'),
        "x-query-virtio-queue-status": Recipe('{"path":"/machine/peripheral/balloon0/virtio-backend","queue":0}'),
        "x-query-virtio-status": Recipe('{"path":"/machine/peripheral/balloon0/virtio-backend"}'),
        "yank": Recipe('{"instances":[]}'),
    }
)

#: What tells whether something that a command has started is over, the states in which it is not, and by which
#: commands it is started.
UNDER_WAY: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "query-migrate": (
        frozenset(("setup", "active", "device", "cancelling", "pre-switchover", "wait-unplug")),
        frozenset(("migrate",)),
    ),
    "query-dump": (frozenset(("active",)), frozenset(("dump-guest-memory",))),
    "query-dirty-rate": (frozenset(("unstarted", "measuring")), frozenset(("calc-dirty-rate", "calc_dirty_rate"))),
    "query-jobs": (
        frozenset(("created", "running", "waiting", "aborting")),
        frozenset((
            "blockdev-create", "blockdev-backup", "blockdev-mirror", "block-commit", "block-stream", "block_stream",
            "block-job-cancel", "job-cancel", "block-job-complete", "job-complete", "block-job-finalize",
            "job-finalize", "snapshot-save", "snapshot-load", "snapshot-delete", "drive-backup", "drive-mirror",
            "drive_backup", "drive_mirror", "block_job_cancel", "block_job_complete",
        )),
    ),
}  # fmt: skip

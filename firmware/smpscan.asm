; smpscan: a 64 KiB ROM that wakes every CPU of a QEMU guest (pc, q35), says what came of it, and does it again.
;
;     nasm -f bin -o smpscan.bin smpscan.asm          qemu-system-x86_64 -bios smpscan.bin ...
;
; It does what SeaBIOS does for its CPUs, and nothing else: one INIT and one SIPI, broadcast back to back, then waiting.
; What it prints on port 0x402, its options and its fixed addresses are described in README.md;
; qstress/firmware/smpscan_console.py reads the first, smpscan.py beside it knows the others. Three rules shape the code:
;
;   - Every byte printed is an exit to QEMU (70-100 us on a nested KVM), so a healthy bring-up prints two.
;   - RAM survives a reset. What costs exits (fw_cfg, the PIT) is asked for once a process and kept behind a checksum.
;   - An AP may enter at the reset vector at any time ("replayed INIT"). So that path uses no stack, and no memory but
;     a lock among such APs and its own byte. The boot CPU prints 7-bit bytes only, such an AP 8-bit bytes only.

        bits    16
        org     0

ROM             equ     0xf0000         ; where the ROM is seen below 1 MiB; labels are offsets into it

; ---- fixed places in RAM -------------------------------------------------------------------------------------------
BUFFER          equ     0x30000         ; fw_cfg's directory, then the options' text (boot CPU, first bring-up only)
STACK           equ     0x08000         ; the boot CPU's; an AP has one only in the storm
STACKS          equ     0x40000         ; theirs, STACK_BYTES for each APIC id
STACK_BYTES     equ     64
TRAMPOLINE      equ     0x10000         ; where a SIPI with vector 0x10 starts an AP, as in SeaBIOS
DATA            equ     0x20000         ; one real-mode segment: the table, then the variables
TABLE           equ     DATA            ; a byte a CPU, by APIC id: 0 not seen, 1 checked in, 2 replayed
IDS             equ     4096            ; its size

        absolute DATA + IDS
MAGIC:          resd    1               ; MAGIC_VALUE when everything from here to KEPT_END is valid
CHECKSUM:       resd    1               ; the sum of the dwords from KEPT to KEPT_END
KEPT:
CPUS:           resd    1               ; how many CPUs there are (fw_cfg)
LIMIT:          resd    1               ; all APIC ids are below it (fw_cfg)
KHZ:            resd    1               ; TSC ticks a millisecond, never too few
PATIENCE:       resd    1               ; the deadline in units of 256 TSC ticks
STORM:          resd    1               ; how long a storm lasts, likewise
SETTLE:         resd    1               ; the shortest wait before a bring-up, likewise
OPTIONS:                                ; in the order in which the options' text gives them
DEADLINE_US:    resd    1               ; how long to wait without a new check-in
AFTER:          resd    1               ; when all are in: 0 stop, 1 reset
MISSING:        resd    1               ; when some are missing: 0 wait for ever, 1 reset
ROUNDS:         resd    1               ; how many times to wake all again without a reset
LEAVE_OUT:      resd    1               ; the APIC id of an AP that is not woken; 0 none
EVERY:          resd    1               ; ... in every such bring-up or round; 1 each, 0 none
PAYLOAD:        resd    1               ; what an AP does once it has checked in: 0 halt, 1 spin, 2 storm
STORM_US:       resd    1               ; how long it storms once all are in; 0 for ever
SETTLE_US:      resd    1               ; how long to wait before a bring-up, and up to half as much again; 0 not at all
KEPT_END:
COUNT:          resd    1               ; bring-ups and rounds since the process began
ROUND:          resd    1               ; 0 in the bring-up, then the number of the round
LATE:           resd    1               ; 1 once missing ones have been reported
CHECKINS:       resd    1               ; goes up with each check-in: a sign of progress, never counted
BEGAN:          resd    1               ; TSC / 256 at the last sign of progress
X2APIC:         resd    1               ; whether the boot CPU's APIC is in x2APIC mode
PRINTING:         resd    1               ; held by a replayed AP while it prints
        section .text

MAGIC_VALUE     equ     0x33534d51      ; "QMS3": change it with the layout above
DEFAULT_US      equ     50000
MAX_DEADLINE_US equ     100000000       ; 100 s: keeps the division in `ticks` within 32 bits
MAX_KHZ         equ     10000000        ; 10 GHz: likewise; also what is assumed where the PIT does not count

; ---- hardware ------------------------------------------------------------------------------------------------------
CONSOLE         equ     0x402
APIC_BASE_MSR   equ     0x1b            ; bit 8 boot CPU, bit 10 x2APIC, bit 11 enabled
X2APIC_EOI_MSR  equ     0x80b
X2APIC_SVR_MSR  equ     0x80f
X2APIC_ICR_MSR  equ     0x830
APIC            equ     0xfee00000
APIC_EOI        equ     APIC + 0x0b0
APIC_SVR        equ     APIC + 0x0f0
APIC_ICR        equ     APIC + 0x300
APIC_ICR_HIGH   equ     APIC + 0x310
INIT            equ     0x04500
SIPI            equ     0x04600 | (TRAMPOLINE >> 12)
ALL_OTHERS      equ     0xc0000
IOAPIC          equ     0xfec00000      ; selects a register, whose value is 0x10 further on
IOAPIC_PINS     equ     24              ; each has a redirection entry of two registers, from 0x10 on
STORM_VECTOR    equ     0x40            ; of IPIs; pin n has the n-th after it
FWCFG           equ     0x510           ; selector; data at the next port
FWCFG_CPUS      equ     0x05
FWCFG_LIMIT     equ     0x0f            ; named MAX_CPUS, but QEMU puts the APIC id limit there
FWCFG_DIR       equ     0x19

; Load this CPU's APIC id into EBX; DS must reach the variables, %1 is what to subtract from their addresses.
; CPUID leaf 1 has 8 bits of it; leaf 0xb has all, but is not there on every CPU model: used where it is needed.
%macro apic_id 1
        mov     eax, 1
        cmp     dword [LIMIT - %1], 255
        jbe     %%ask
        mov     eax, 0x0b
%%ask:  xor     ecx, ecx
        cpuid
        shr     ebx, 24
        cmp     dword [LIMIT - %1], 255
        jbe     %%done
        mov     ebx, edx
%%done: and     ebx, IDS - 1
%endmacro

; Go on at ROM offset %1: pages whose addresses are part of the protocol, so that a register dump tells who is where.
%macro page_at 1
        times %1 - ($ - $$) db 0xf4
%endmacro

; ====================================================================================================================
; Real mode
; ====================================================================================================================

; Every CPU that starts at the reset vector comes here, CS base ffff0000. Only the boot CPU should.
entry:  cli
        mov     ecx, APIC_BASE_MSR
        rdmsr
        and     ah, 9                   ; bits 8 and 11; a CPU without an APIC reads 0 and is alone
        cmp     ah, 8
        je      replayed

        mov     si, gdt_pointer         ; protected mode with flat segments
        o32 lgdt [cs:si]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:ROM + boot

; An AP at the reset vector: QEMU wrote back a reset that the AP had already left behind. It says its APIC id in one
; byte 10xxxxxx, from id 64 on with a byte 11xxxxxx (the id's upper six bits) before it; then it marks its own byte,
; so that the boot CPU does not wait for it; then it parks.
replayed:
        mov     ax, DATA >> 4
        mov     ds, ax
        apic_id DATA
        mov     cx, 0xffff              ; a bound: the holder of the lock may have been reset while it held it
.lock:  lock bts dword [PRINTING - DATA], 0
        jnc     .mine
        pause
        loop    .lock
.mine:  mov     dx, CONSOLE
        mov     ax, bx
        shr     ax, 6
        jz      .small
        or      al, 0xc0
        out     dx, al
.small: mov     al, bl
        and     al, 0x3f
        or      al, 0x80
        out     dx, al
        mov     dword [PRINTING - DATA], 0
        mov     byte [bx], 2            ; after the report: once the boot CPU says "all in", the report is out
        lock inc dword [CHECKINS - DATA]
        jmp     replayed_parked

; An AP that was woken as it should be: the trampoline jumps here, CS base f0000. Doing it twice changes nothing.
woken:  cli
        mov     ax, DATA >> 4
        mov     ds, ax
        apic_id DATA
        mov     byte [bx], 1
        lock inc dword [CHECKINS - DATA]
        cmp     dword [PAYLOAD - DATA], 1
        jb      ap_halted
        je      ap_spinning
        mov     si, gdt_pointer
        o32 lgdt [cs:si]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:ROM + ap_storm

        align   8
gdt:    dq      0                       ; also the null descriptor
        dq      0x00cf9b000000ffff      ; 08: code, base 0, 4 GiB, 32 bit
        dq      0x00cf93000000ffff      ; 10: data, likewise
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      ROM + gdt

; ====================================================================================================================
; The boot CPU, in 32-bit protected mode
; ====================================================================================================================
        bits    32

boot:   mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, STACK
        cld
        call    kept_sum                ; anything kept from an earlier bring-up of this process?
        cmp     dword [MAGIC], MAGIC_VALUE
        jne     .first
        cmp     eax, [CHECKSUM]
        je      .known
.first: call    first_time
.known: xor     eax, eax
        mov     [ROUND], eax
        mov     [X2APIC], eax
        mov     [PRINTING], eax             ; no AP runs before the first INIT, so none holds it
        or      dword [APIC_SVR], 0x100 ; switch the APIC on

; A bring-up, or a round of one: forget the last, wake everybody, wait.
begin:  inc     dword [COUNT]
        xor     eax, eax
        mov     [LATE], eax
        mov     [CHECKINS], eax
        mov     edi, TABLE
        mov     ecx, [LIMIT]
        rep stosb
        apic_id 0
        mov     byte [TABLE + ebx], 1   ; the boot CPU is there
        mov     dword [TRAMPOLINE], 0xea | ((woken - $$) << 8)  ; jmp f000:woken
        mov     word [TRAMPOLINE + 3], 0xf000
        cmp     dword [ROUND], 0
        jne     .wake
        mov     al, '('
        call    put
        call    settle
.wake:  call    one_left_out
        jc      .targeted
        cmp     dword [X2APIC], 0
        jne     .x2apic
        mov     dword [APIC_ICR], ALL_OTHERS | INIT             ; as SeaBIOS does: no delay, once
        mov     dword [APIC_ICR], ALL_OTHERS | SIPI
        jmp     .sent
.x2apic:
        xor     edx, edx
        mov     ecx, X2APIC_ICR_MSR
        mov     eax, ALL_OTHERS | INIT
        wrmsr
        mov     eax, ALL_OTHERS | SIPI
        wrmsr
        jmp     .sent
.targeted:
        call    wake_one_by_one
.sent:  xor     esi, esi                ; no sign of progress seen yet
        mov     ebp, [PATIENCE]
        mov     ebx, [CPUS]             ; for whoever reads a register dump
        call    now
        mov     [BEGAN], eax
        jmp     wait_loop

; All are in, or accounted for.
all_in: mov     al, '+'                 ; late: they had been reported as missing
        cmp     dword [LATE], 0
        jne     .say
        mov     al, ')'
        cmp     dword [ROUND], 0
        je      .say
        mov     al, '.'
.say:   call    put
        mov     eax, [ROUND]
        cmp     eax, [ROUNDS]
        jae     .over
        inc     dword [ROUND]
        jmp     begin
.over:  cmp     dword [PAYLOAD], 2
        je      bsp_storm
storm_over:
        cmp     dword [AFTER], 0
        je      bsp_stopped
        jmp     reset

; The deadline has passed: say how many are missing and which APIC ids have not been seen. If ids are not contiguous
; (LIMIT > CPUS), these are more than are missing: which of them exist is not known here. Then wait on, for ever like
; SeaBIOS, or look once more and reset: an AP that came in while we were talking is not called lost.
missing:
        cmp     dword [LATE], 0
        jne     reset
        mov     esi, text_missing
        call    print
        call    count_unseen
        sub     eax, [LIMIT]            ; unseen - (limit - cpus)
        add     eax, [CPUS]
        call    print_decimal
        mov     al, ':'
        call    put
        xor     ebx, ebx
.next:  cmp     byte [TABLE + ebx], 0
        jne     .seen
        mov     al, ' '
        call    put
        mov     eax, ebx
        call    print_hex
.seen:  inc     ebx
        cmp     ebx, [LIMIT]
        jb      .next
        mov     al, 10
        call    put
        mov     dword [LATE], 1
        mov     esi, [CHECKINS]
        mov     ebx, [CPUS]
        cmp     dword [MISSING], 1
        sbb     ebp, ebp                ; 0: -1, wait for ever; else 0, no patience left
        jmp     wait_loop

; Reset the machine in place. QEMU stops this CPU at once, but under TCG only at its next jump: without the loop the
; second write, for machines that do not know the first, would ask for a second reset, in the middle of a bring-up.
reset:  mov     dx, 0xcf9
        mov     al, 6
        out     dx, al
        mov     ecx, 100000
.wait:  pause
        loop    .wait
        mov     al, 0xfe
        out     0x64, al
        jmp     bsp_stopped

; ---- waking --------------------------------------------------------------------------------------------------------

; Carry: this bring-up or round leaves an AP out.
one_left_out:
        cmp     dword [LEAVE_OUT], 0
        je      .no
        mov     ecx, [EVERY]
        jecxz   .no
        mov     eax, [COUNT]
        xor     edx, edx
        div     ecx
        test    edx, edx
        jnz     .no
        stc
        ret
.no:    clc
        ret

; INIT and SIPI to each AP but the one left out, which so stays as the reset left it: waiting for a SIPI at f000:fff0.
; EBX is this CPU's APIC id. Ids above 254 can be named in x2APIC mode only.
wake_one_by_one:
        cmp     dword [LIMIT], 255
        jbe     .start
        mov     ecx, APIC_BASE_MSR
        rdmsr
        or      ah, 4                   ; bit 10
        wrmsr
        mov     dword [X2APIC], 1
.start: xor     edi, edi
.next:  cmp     edi, ebx
        je      .skip
        cmp     edi, [LEAVE_OUT]
        je      .skip
        mov     eax, INIT
        call    .send
        mov     eax, SIPI
        call    .send
.skip:  inc     edi
        cmp     edi, [LIMIT]
        jb      .next
        ret
.send:  mov     edx, edi
        cmp     dword [X2APIC], 0
        jne     .msr
        shl     edx, 24
        mov     [APIC_ICR_HIGH], edx
        mov     [APIC_ICR], eax
        ret
.msr:   mov     ecx, X2APIC_ICR_MSR
        wrmsr
        ret

; EAX: how many APIC ids below LIMIT have not been seen.
count_unseen:
        push    ebx
        xor     eax, eax
        xor     ebx, ebx
.next:  cmp     byte [TABLE + ebx], 1   ; carry where it is 0
        adc     eax, 0
        inc     ebx
        cmp     ebx, [LIMIT]
        jb      .next
        pop     ebx
        ret

; ---- once a process ------------------------------------------------------------------------------------------------

; Ask fw_cfg, calibrate the TSC, introduce ourselves, and keep the answers for the bring-ups to come.
first_time:
        mov     dword [COUNT], 0
        mov     eax, FWCFG_CPUS
        call    fwcfg_word
        mov     [CPUS], eax
        mov     eax, FWCFG_LIMIT
        call    fwcfg_word
        cmp     eax, [CPUS]             ; at least one id a CPU, whatever is said
        jae     .fits
        mov     eax, [CPUS]
.fits:  cmp     eax, IDS
        jbe     .limit
        mov     eax, IDS
.limit: mov     [LIMIT], eax
        call    read_options
        call    calibrate
        mov     eax, [DEADLINE_US]
        call    ticks
        mov     [PATIENCE], eax
        mov     eax, [STORM_US]
        call    ticks
        mov     [STORM], eax
        mov     eax, [SETTLE_US]
        call    ticks
        mov     [SETTLE], eax

        mov     esi, text_smpscan
        call    print
        mov     eax, [CPUS]
        call    print_decimal
        mov     esi, text_ids
        call    print
        mov     eax, [LIMIT]
        call    print_decimal
        mov     esi, text_khz
        call    print
        mov     eax, [KHZ]
        call    print_decimal
        mov     esi, text_rounds
        call    print
        mov     eax, [ROUNDS]
        call    print_decimal
        mov     al, 10
        call    put

        call    kept_sum
        mov     [CHECKSUM], eax
        mov     dword [MAGIC], MAGIC_VALUE
        ret

; EAX: the TSC ticks of EAX microseconds, in units of 256.
ticks:  cmp     eax, MAX_DEADLINE_US
        jbe     .fits
        mov     eax, MAX_DEADLINE_US
.fits:  mul     dword [KHZ]             ; us * kHz / 1000
        mov     ecx, 256 * 1000
        div     ecx
        ret

; EAX: the sum of what is kept.
kept_sum:
        xor     eax, eax
        mov     ecx, (KEPT_END - KEPT) / 4
.next:  add     eax, [KEPT + 4 * ecx - 4]
        loop    .next
        ret

; EAX: the 16-bit item of the key EAX.
fwcfg_word:
        mov     dx, FWCFG
        out     dx, ax
        inc     edx
        in      al, dx
        mov     ah, al
        in      al, dx
        xchg    al, ah
        movzx   eax, ax
        ret

; Read the numbers of the file opt/qstress/options, in their order; what it does not give keeps its default.
; Everything but digits separates, so the text can name what it sets: "deadline_us=50000 after=1".
read_options:
        mov     edi, OPTIONS
        xor     eax, eax
        mov     ecx, (KEPT_END - OPTIONS) / 4
        rep stosd
        mov     dword [DEADLINE_US], DEFAULT_US

        mov     ax, FWCFG_DIR           ; the directory: a count, then 64 bytes a file, all big-endian
        mov     dx, FWCFG
        out     dx, ax
        inc     edx
        mov     edi, BUFFER
        mov     ecx, 4
        rep insb
        mov     ebx, [BUFFER]
        bswap   ebx
        cmp     ebx, 1024               ; far more than QEMU has; 64 KiB fit below the ROM's place
        jbe     .sane
        mov     ebx, 1024
.sane:  mov     ecx, ebx
        shl     ecx, 6
        mov     edi, BUFFER
        rep insb                        ; one exit for many bytes, unlike single reads
        mov     edx, BUFFER
.file:  dec     ebx
        js      .done                   ; no such file
        lea     edi, [edx + 8]          ; size 4, key 2, reserved 2, name 56
        mov     esi, ROM + options_name
        mov     ecx, options_name_end - options_name
        repe cmpsb
        je      .found
        add     edx, 64
        jmp     .file
.found: mov     ecx, [edx]
        bswap   ecx
        mov     ax, [edx + 4]
        xchg    al, ah
        cmp     ecx, 1024
        jbe     .short
        mov     ecx, 1024
.short: mov     dx, FWCFG
        out     dx, ax
        inc     edx
        mov     edi, BUFFER
        rep insb
        mov     byte [edi], 0           ; ends the text, and with it the last number

        mov     esi, BUFFER
        mov     edi, OPTIONS
.number:
        cmp     edi, KEPT_END
        jae     .done
.seek:  cmp     byte [esi], 0
        je      .done
        movzx   eax, byte [esi]
        inc     esi
        sub     eax, '0'
        cmp     eax, 9
        ja      .seek
.digit: movzx   ecx, byte [esi]
        sub     ecx, '0'
        cmp     ecx, 9
        ja      .store
        inc     esi
        imul    eax, eax, 10
        add     eax, ecx
        jmp     .digit
.store: stosd
        jmp     .number
.done:  ret

; Measure the TSC against the PIT, the one clock that every pc and q35 has ready after a reset. The TSC is read before
; the PIT at the start and after it at the end, so an interruption can only make the result larger, and a deadline
; longer: the smallest of three is the best. Polled, not waited for by interrupt; about 12 ms a process.
calibrate:
        mov     dword [KHZ], MAX_KHZ
        mov     al, 0x34                ; channel 0 counts down from 65536, over and over
        out     0x43, al
        xor     eax, eax
        out     0x40, al
        out     0x40, al
        push    3
.again: rdtsc
        mov     esi, eax
        mov     edi, edx
        call    .pit
        mov     ebx, eax
.poll:  call    .pit
        mov     ecx, ebx                ; PIT ticks that have passed
        sub     ecx, eax
        movzx   ecx, cx
        rdtsc
        sub     eax, esi
        sbb     edx, edi
        jnz     .next                   ; over 2^32 TSC ticks: no PIT, or interrupted for a second: worthless
        cmp     ecx, 4773               ; 4 ms
        jb      .poll
        mov     edx, 1194               ; PIT ticks a millisecond, rounded up
        mul     edx
        div     ecx                     ; fits: 2^32 * 1194 / 4773 < 2^32
        cmp     eax, [KHZ]
        jae     .next
        mov     [KHZ], eax
.next:  dec     dword [esp]
        jnz     .again
        pop     eax
        ret
.pit:   xor     eax, eax                ; latch channel 0, read it
        out     0x43, al
        in      al, 0x40
        mov     ah, al
        in      al, 0x40
        xchg    al, ah
        ret

; ---- the storm -----------------------------------------------------------------------------------------------------

; An AP that joins: a stack, the interrupts, its APIC on, and then it sleeps until the boot CPU begins. EBX is its id.
; Ids above 254 can be named in x2APIC mode only.
ap_storm:
        mov     ax, 0x10
        mov     ds, ax
        mov     ss, ax
        mov     esp, ebx
        shl     esp, 6                  ; STACK_BYTES
        add     esp, STACKS + STACK_BYTES
        lidt    [ROM + idt_pointer]
        imul    ebp, ebx, 0x9e3779b1    ; each draws its own numbers
        cmp     dword [LIMIT], 255
        ja      .x2apic
        or      dword [APIC_SVR], 0x100
        jmp     ap_storming
.x2apic:
        mov     ecx, APIC_BASE_MSR
        rdmsr
        or      ah, 4                   ; bit 10
        wrmsr
        mov     ecx, X2APIC_SVR_MSR
        rdmsr
        or      ah, 1
        wrmsr
        jmp     ap_storming

; ---- small things --------------------------------------------------------------------------------------------------

; Wait for SETTLE and up to half as much again, without an exit: a hammer finds its pace again after a reset, and the INIT
; does not come right after an exit, for which QEMU made this CPU wait until the monitor's work let it. The part that
; differs each time is hashed from the TSC, so that no hammer keeps step with the bring-ups.
settle: call    now
        mov     esi, eax
        rdtsc
        imul    eax, eax, 0x9e3779b1
        mul     dword [SETTLE]          ; EDX: below SETTLE
        shr     edx, 1
        add     edx, [SETTLE]
        mov     ecx, edx
.wait:  pause
        call    now
        sub     eax, esi
        cmp     eax, ecx
        jb      .wait
        ret

; EAX: TSC / 256. Wraps after minutes; differences do not mind.
now:    rdtsc
        shrd    eax, edx, 8
        ret

; Print AL; changes DX.
put:    mov     dx, CONSOLE
        out     dx, al
        ret

; Print the text at ROM offset ESI, which ends with a zero.
print:  mov     al, [ROM + esi]
        inc     esi
        test    al, al
        jz      .done
        call    put
        jmp     print
.done:  ret

print_decimal:
        mov     ecx, 10
        jmp     print_number
print_hex:
        mov     ecx, 16
; Print EAX in base ECX, without leading zeros.
print_number:
        xor     edx, edx
        div     ecx
        push    edx
        test    eax, eax
        jz      .last
        call    print_number
.last:  pop     eax
        mov     al, [ROM + digits + eax]
        jmp     put

digits:         db      "0123456789abcdef"
text_smpscan:   db      "smpscan 1 cpus=", 0
text_ids:       db      " ids=", 0
text_khz:       db      " khz=", 0
text_rounds:    db      " rounds=", 0
text_missing:   db      "missing ", 0
options_name:   db      "opt/qstress/options", 0
options_name_end:

; ====================================================================================================================
; Where CPUs are found: fixed addresses, see README.md and qstress/firmware/smpscan.py
; ====================================================================================================================

; f1000: the boot CPU waits. EBX: CPUs expected, EBP: patience (-1: for ever), ESI: the last sign of progress.
; All are in when no more ids are unseen than do not exist (LIMIT - CPUS); the search stops at the first one too many.
        page_at 0x1000
wait_loop:
        mov     edx, [LIMIT]
        mov     ecx, edx
        sub     edx, ebx
        mov     edi, TABLE
        xor     eax, eax
.search:
        jecxz   all_in_near
        repne scasb
        jne     all_in_near
        dec     edx
        jns     .search
        mov     eax, [CHECKINS]
        cmp     eax, esi
        jne     .progress
        call    now
        sub     eax, [BEGAN]
        cmp     eax, ebp
        ja      missing
        pause
        jmp     wait_loop
.progress:
        mov     esi, eax
        call    now
        mov     [BEGAN], eax
        jmp     wait_loop
all_in_near:
        jmp     all_in

; f1100: the boot CPU has nothing more to do.
        page_at 0x1100
bsp_stopped:
        cli
        hlt
        jmp     bsp_stopped

        bits    16
; f1200: an AP that has checked in, halted; f1280: spinning (PAYLOAD 1); storming ones are at f1400.
        page_at 0x1200
ap_halted:
        cli
        hlt
        jmp     ap_halted
        page_at 0x1280
ap_spinning:
        pause
        jmp     ap_spinning

; ffff1300: an AP that came in through the reset vector.
        page_at 0x1300
replayed_parked:
        cli
        hlt
        jmp     replayed_parked

        bits    32
; f1400: an AP in the storm (PAYLOAD 2). It sleeps until it is interrupted, and then interrupts a CPU drawn at random.
; It leaves its handler by a jump, not by an IRET: where KVM emulates protected mode it has none (x86/emulate.c, em_iret).
        page_at 0x1400
ap_storming:
        sti
        hlt
        jmp     ap_storming
on_interrupt:
        add     esp, 12                 ; EIP, CS, EFLAGS
        call    draw
        cmp     dword [LIMIT], 255
        ja      .x2apic
        mov     dword [APIC_EOI], 0
        shl     eax, 24
        mov     [APIC_ICR_HIGH], eax
        mov     dword [APIC_ICR], STORM_VECTOR
        jmp     ap_storming
.x2apic:
        push    eax
        xor     eax, eax
        xor     edx, edx
        mov     ecx, X2APIC_EOI_MSR
        wrmsr
        pop     edx
        mov     ecx, X2APIC_ICR_MSR
        mov     eax, STORM_VECTOR
        wrmsr
        jmp     ap_storming

; EAX: a number below LIMIT, drawn with EBP; changes EDX.
draw:   imul    ebp, ebp, 1664525
        add     ebp, 1013904223
        mov     eax, ebp
        mul     dword [LIMIT]
        mov     eax, edx
        ret

; f1500: the boot CPU in the storm. It rewrites the IOAPIC so that each pin interrupts another CPU, then wakes all APs,
; over and over; what they pass on would die out, since interrupts meet and the boot CPU takes none.
        page_at 0x1500
bsp_storm:
        call    now
        mov     [BEGAN], eax
        mov     ebp, eax
.again: xor     ecx, ecx
.pin:   call    draw
        shl     eax, 24
        lea     edx, [2 * ecx + 0x11]
        mov     [IOAPIC], edx
        mov     [IOAPIC + 0x10], eax    ; to whom
        dec     edx
        mov     [IOAPIC], edx
        lea     eax, [ecx + STORM_VECTOR + 1]
        mov     [IOAPIC + 0x10], eax    ; fixed, physical, edge, not masked
        inc     ecx
        cmp     ecx, IOAPIC_PINS
        jb      .pin
        mov     eax, ALL_OTHERS | STORM_VECTOR
        cmp     dword [X2APIC], 0
        jne     .x2apic
        mov     [APIC_ICR], eax
        jmp     .sent
.x2apic:
        xor     edx, edx
        mov     ecx, X2APIC_ICR_MSR
        wrmsr
.sent:  cmp     dword [STORM_US], 0
        je      .again
        call    now
        sub     eax, [BEGAN]
        cmp     eax, [STORM]
        jb      .again
        jmp     storm_over

; Interrupts are taken by storming APs only; the first 32 vectors stay empty, as nowhere in this ROM.
        align   8
idt:    times   32 dq 0
%rep    256 - 32
        dw      on_interrupt, 8, 0x8e00, ROM >> 16
%endrep
idt_end:
idt_pointer:
        dw      idt_end - idt - 1
        dd      ROM + idt

        bits    16
        page_at 0xfff0
        jmp     entry
        page_at 0x10000

; latched: a 64 KiB ROM for two CPUs that sends an INIT while the AP is in SMM, over and over, where it stays latched.
;
;     nasm -f bin -o latched.bin latched.asm          qemu-system-x86_64 -machine q35,smm=on -smp 2 -bios latched.bin ...
;
; A round: SMI to the AP, which stays in its handler; INIT; a while in which a monitor may look; the AP leaves SMM and
; takes the INIT; SIPI; the AP checks in, and makes one exit to QEMU. Port 0x402: `(` once, then a byte a round:
; `.` it came, `L` it did not (its INIT is lost: INIT and SIPI are sent again), `S` it never entered SMM (KVM has none);
; and `R` whenever an AP runs the ROM from the reset vector, where only the boot CPU should.

        bits    16
        org     0

ROM             equ     0xf0000
CONSOLE         equ     0x402
DIAGNOSTIC      equ     0x80            ; a port that QEMU owns: an exit
IN_SMM          equ     0x5000          ; bytes that both CPUs see: the AP is in its handler; it may leave it
RELEASE         equ     0x5004
CHECKINS        equ     0x5008
STACK           equ     0x8000
TRAMPOLINE      equ     0x10000
HANDLER         equ     0x38000         ; where SMM begins after a reset: SMBASE 30000 + 8000, plain RAM on pc and q35
APIC_SVR        equ     0xfee000f0
APIC_ICR        equ     0xfee00300
SMI_ALL         equ     0xc4200         ; all to all others
INIT_ALL        equ     0xc4500
SIPI_ALL        equ     0xc4600 | (TRAMPOLINE >> 12)
LATCHED         equ     1 << 17         ; how long the INIT stays latched, in 256 TSC ticks: some 16 ms
BRIEF           equ     1 << 10
PATIENCE        equ     1 << 23         ; how long an AP has to come: some seconds

entry:  cli
        mov     ecx, 0x1b               ; MSR APIC_BASE, bit 8: boot CPU
        rdmsr
        test    ah, 1
        jnz     boot16
        mov     dx, CONSOLE
        mov     al, 'R'
        out     dx, al
parked: hlt
        jmp     parked
boot16: mov     si, gdt_pointer
        o32 lgdt [cs:si]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:ROM + boot

ap:     xor     ax, ax
        mov     ds, ax
        lock inc dword [CHECKINS]
        out     DIAGNOSTIC, al
.spin:  pause
        jmp     .spin

handler:                                ; copied to HANDLER; in SMM DS has base 0
        mov     byte [IN_SMM], 1
.wait:  pause
        cmp     byte [RELEASE], 0
        je      .wait
        mov     byte [IN_SMM], 0
        rsm
handler_end:

        align   8
gdt:    dq      0
        dq      0x00cf9b000000ffff      ; 08: code, base 0, 4 GiB, 32 bit
        dq      0x00cf93000000ffff      ; 10: data, likewise
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      ROM + gdt

        bits    32
boot:   mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, STACK
        cld
        mov     esi, ROM + handler
        mov     edi, HANDLER
        mov     ecx, handler_end - handler
        rep movsb
        mov     dword [TRAMPOLINE], 0xea | ((ap - $$) << 8)     ; jmp f000:ap
        mov     word [TRAMPOLINE + 3], 0xf000
        mov     dword [IN_SMM], 0
        mov     dword [CHECKINS], 0
        or      dword [APIC_SVR], 0x100
        mov     al, '('
        call    put
        call    wake

round:  mov     dword [RELEASE], 0
        mov     dword [APIC_ICR], SMI_ALL
        mov     esi, IN_SMM
        mov     eax, 1
        call    await
        jc      .no_smm
        mov     dword [APIC_ICR], INIT_ALL
        mov     ecx, LATCHED
        call    pass
        mov     dword [RELEASE], 1
        mov     esi, IN_SMM
        xor     eax, eax
        call    await
        mov     ecx, BRIEF
        call    pass
        mov     ebx, [CHECKINS]
        mov     dword [APIC_ICR], SIPI_ALL
        call    checkin
        mov     al, '.'
        jnc     .say
        call    wake
        mov     al, 'L'
.say:   call    put
        jmp     round
.no_smm:
        mov     al, 'S'
        jmp     .say

; INIT and SIPI to the AP until it comes.
wake:   mov     ebx, [CHECKINS]
        mov     dword [APIC_ICR], INIT_ALL
        mov     ecx, BRIEF
        call    pass
        mov     dword [APIC_ICR], SIPI_ALL
        call    checkin
        jc      wake
        ret

; Wait for one more check-in than EBX; carry: none came.
checkin:
        mov     esi, CHECKINS
        lea     eax, [ebx + 1]
; Wait until the dword at ESI is EAX; carry: it did not become so.
await:  mov     ebp, eax
        call    now
        mov     edi, eax
.next:  cmp     [esi], ebp
        je      .done                   ; no carry
        pause
        call    now
        sub     eax, edi
        cmp     eax, PATIENCE
        jb      .next
        stc
.done:  ret

; Let ECX times 256 TSC ticks pass.
pass:   call    now
        mov     edi, eax
.next:  pause
        call    now
        sub     eax, edi
        cmp     eax, ecx
        jb      .next
        ret

now:    rdtsc
        shrd    eax, edx, 8
        ret

put:    mov     dx, CONSOLE
        out     dx, al
        ret

        times 0xfff0 - ($ - $$) db 0xf4
        bits    16
        jmp     entry
        times 0x10000 - ($ - $$) db 0

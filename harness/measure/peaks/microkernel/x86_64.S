# The source of the bytes in x86_64.py: GNU assembler 2.38 or later, one section for each routine.
#
#   as --64 -o x86_64.o x86_64.S
#   objcopy -O binary --only-section=.text.add_chain x86_64.o add_chain && xxd -p -c 50 add_chain
#
# System V ABI: leaf functions on caller-saved registers, the stack is not touched. Loops start on a
# cache line; what is skipped before them is int3, as each assembler chooses its own no-operations.

        .intel_syntax noprefix

        .macro routine name
        .section .text.\name, "ax", @progbits
        .endm

# Runs what follows, up to `again`, as many times as rdi says, which may be zero.
        .macro repeat
        test    rdi, rdi
        jnz     1f
        jmp     2f
        .balign 64, 0xcc
1:
        .endm

        .macro again
        dec     rdi
        jnz     1b
2:
        .endm

# uint64_t chain(uint64_t iterations, uint64_t start, uint64_t operand)
# 64 dependent instructions an iteration; the two of the loop run beside them and cost nothing.
        .macro chain name, instruction
        routine \name
        mov     rax, rsi
        repeat
        .rept   64
        \instruction rax, rdx
        .endr
        again
        ret
        .endm

        chain   add_chain, add
        chain   imul_chain, imul

# void kernel(uint64_t iterations, void *accumulators)
# All accumulators start at zero. An iteration adds 1 * 1 (or a sum of such products) to every element
# of each of them, in any order. The end stores them one after the other.
        .macro kernel name, instruction, pattern, register, bytes, ones, zero, accumulators:vararg
        routine \name
        mov     eax, \pattern
        vmovd   xmm0, eax
        vpbroadcastd \register\ones, xmm0
        .irp    i, \accumulators
        \zero   \register\i, \register\i, \register\i
        .endr
        repeat
        .irp    i, \accumulators
        \instruction \register\i, \register\ones, \register\ones
        .endr
        again
        .irp    i, \accumulators
        vmovups [rsi + \bytes * \i], \register\i
        .endr
        vzeroupper
        ret
        .endm

# Cores since 2013 start two FMAs a cycle at most and take four or five cycles for one: ten in flight
# hide the latency. Twelve are what 16 registers allow in round numbers.
        .macro ymm_kernel name, instruction, pattern
        kernel  \name, \instruction, \pattern, ymm, 32, 15, vpxor, 0,1,2,3,4,5,6,7,8,9,10,11
        .endm

        .macro zmm_kernel name, instruction, pattern
        kernel  \name, \instruction, \pattern, zmm, 64, 31, vpxord, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23
        .endm

        .set    float32_one, 0x3f800000
        .set    bfloat16_ones, 0x3f803f80
        .set    float16_ones, 0x3c003c00

        ymm_kernel fma_float32_avx2, vfmadd231ps, float32_one
        zmm_kernel fma_float32_avx512, vfmadd231ps, float32_one
        zmm_kernel dot_bfloat16_avx512, vdpbf16ps, bfloat16_ones
        zmm_kernel fma_float16_avx512, vfmadd231ph, float16_ones

# The same on tiles of 16 rows of 64 bytes. Tiles 6 and 7 hold ones: the same 64 bytes for every row,
# by a stride of zero. A product starts every 16 cycles and takes 52 (Intel, Optimization Reference
# Manual, chapter on AMX): four accumulators would do.
        routine tile_bfloat16_amx
        ldtilecfg [rip + 3f]
        lea     rax, [rip + 4f]
        xor     ecx, ecx
        tileloadd tmm6, [rax + rcx]
        tileloadd tmm7, [rax + rcx]
        .irp    i, 0,1,2,3,4,5
        tilezero tmm\i
        .endr
        repeat
        .irp    i, 0,1,2,3,4,5
        tdpbf16ps tmm\i, tmm6, tmm7
        .endr
        again
        mov     ecx, 64
        .irp    i, 0,1,2,3,4,5
        tilestored [rsi + rcx + 1024 * \i], tmm\i
        .endr
        tilerelease
        ret
        .balign 64, 0xcc
3:                                      # palette 1; at byte 16 the bytes a row, at 48 the rows
        .byte   1
        .zero   15
        .rept   8
        .short  64
        .endr
        .zero   16
        .rept   8
        .byte   16
        .endr
        .zero   8
4:
        .rept   16
        .long   bfloat16_ones
        .endr

# uint64_t read(uint64_t passes, const void *memory, uint64_t bytes)
# Reads all bytes, a multiple of sixteen registers and at least that, as many times as rdi says, and
# returns the sum of all 64-bit words it read, modulo 2^64.
        .macro reader name, register, bytes, zero, accumulators:vararg
        routine \name
        .irp    i, \accumulators
        \zero   \register\i, \register\i, \register\i
        .endr
        add     rdx, rsi
        test    rdi, rdi
        jnz     1f
        jmp     3f
        .balign 64, 0xcc
1:
        mov     rcx, rsi
2:
        .irp    i, \accumulators
        vpaddq  \register\i, \register\i, [rcx + \bytes * \i]
        .endr
        add     rcx, 16 * \bytes
        cmp     rcx, rdx
        jb      2b
        dec     rdi
        jnz     1b
3:
        .irp    i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vpaddq  \register\()0, \register\()0, \register\i
        .endr
        .ifc    \register, zmm
        vextracti64x4 ymm1, zmm0, 1
        vpaddq  ymm0, ymm0, ymm1
        .endif
        vextracti128 xmm1, ymm0, 1
        vpaddq  xmm0, xmm0, xmm1
        vpextrq rax, xmm0, 1
        vmovq   rcx, xmm0
        add     rax, rcx
        vzeroupper
        ret
        .endm

        reader  read_avx2, ymm, 32, vpxor, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        reader  read_avx512, zmm, 64, vpxord, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15

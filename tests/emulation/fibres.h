// SPDX-License-Identifier: Apache-2.0
// Fibres: stacks between which one operating-system thread switches cooperatively.
#pragma once

// Where memory accesses are checked, those of the emulator itself are not.
#ifdef CHECKED
#define EMULATOR __attribute__((no_sanitize("thread")))
#else
#define EMULATOR
#endif

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(PORTABLE_FIBRES) || !(defined(__x86_64__) || defined(__aarch64__))

#include <ucontext.h>

namespace emulation {

struct Fibre {
    ucontext_t context;
};

EMULATOR inline void prepare(Fibre& fibre, char* stack, size_t bytes, void (*entry)())
{
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = stack;
    fibre.context.uc_stack.ss_size = bytes;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, entry, 0);
}

EMULATOR inline void switch_fibre(Fibre& from, Fibre& to)
{
    swapcontext(&from.context, &to.context);
}

}  // namespace emulation

#else

namespace emulation {

// Pushes the registers that a function must preserve, swaps stacks, and pops those of the other fibre.
extern "C" void switch_stacks(void*** saved, void** next) __asm__("emulation_switch_stacks");

#if defined(__x86_64__)

// Six registers, the address to return to, and one word that aligns the stack as a call would.
constexpr int frame_words = 8, entry_word = 6;

__asm__(R"(
    .text
    .p2align 4
emulation_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

#else

// x19 to x30, of which x30 is the address to return to, and d8 to d15.
constexpr int frame_words = 20, entry_word = 11;

__asm__(R"(
    .text
    .p2align 4
emulation_switch_stacks:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");

#endif

struct Fibre {
    void** stack_pointer;
};

EMULATOR inline void prepare(Fibre& fibre, char* stack, size_t bytes, void (*entry)())
{
    void** frame = reinterpret_cast<void**>(stack + bytes) - frame_words;
    for (int word = 0; word < frame_words; ++word) frame[word] = nullptr;
    frame[entry_word] = reinterpret_cast<void*>(entry);
    fibre.stack_pointer = frame;
}

EMULATOR inline void switch_fibre(Fibre& from, Fibre& to)
{
    switch_stacks(&from.stack_pointer, to.stack_pointer);
}

}  // namespace emulation

#endif

namespace emulation {

// Address space for the stacks of all fibres. Below each stack, a page that faults exposes overflows.
template <unsigned capacity>
class Stacks {
  public:
    bool reserve(unsigned count)
    {
        if (!start_) {
            const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            void* area = mmap(nullptr, capacity * stride(), PROT_NONE, flags, -1, 0);
            if (area == MAP_FAILED) return false;
            start_ = static_cast<char*>(area);
        }
        for (; usable_ < count; ++usable_) {
            if (mprotect(stack(usable_), stack_bytes, PROT_READ | PROT_WRITE)) return false;
        }
        return true;
    }

    EMULATOR bool contain(const void* address) const
    {
        return size_t(static_cast<const char*>(address) - start_) < capacity * stride();
    }

    char* stack(unsigned number) const { return start_ + number * stride() + page_bytes_; }

    // Stacks begin at different offsets in a page: else all would compete for the same few lines of the cache.
    static size_t bytes(unsigned number) { return stack_bytes - number % 32 * 128; }

  private:
    static constexpr size_t stack_bytes = 64 * 1024;

    // An odd number of pages spreads the stacks over the sets of the TLB.
    EMULATOR size_t stride() const { return stack_bytes + page_bytes_; }

    const size_t page_bytes_ = sysconf(_SC_PAGESIZE);
    char* start_ = nullptr;
    unsigned usable_ = 0;
};

}  // namespace emulation

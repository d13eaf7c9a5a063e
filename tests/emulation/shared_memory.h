// SPDX-License-Identifier: Apache-2.0
// Shared memory. Its accesses are checked in programs compiled with the compiler's calls for detectors of data races.
#pragma once

#include "global_memory.h"

namespace emulation {

// Dynamic shared memory lies between guards, whose pattern a CUDA kernel is unlikely to write. Unwritten memory and
// guards both read as NaN. Where accesses are checked, those within `margin_bytes` are known to be wrong, and the bytes
// that were written since the block started are known.
struct SharedMemory {
    static constexpr size_t guard_bytes = 1024, margin_bytes = 64 * 1024;
    static constexpr size_t area_bytes = margin_bytes + max_shared_bytes + margin_bytes;
    static constexpr unsigned pattern = 0xfff5a5a5;

    alignas(128) unsigned char area[area_bytes];
    unsigned char written[max_shared_bytes];
    size_t bytes;  // as requested by the launch

    EMULATOR unsigned char* start() { return area + margin_bytes; }
    EMULATOR unsigned char* end() { return start() + bytes; }

    EMULATOR void resize(size_t requested)
    {
        bytes = requested;
        for (size_t i = 0; i < guard_bytes; i += sizeof pattern) {
            memcpy(start() - guard_bytes + i, &pattern, sizeof pattern);
            memcpy(end() + i, &pattern, sizeof pattern);
        }
    }

    // All bytes are ones when a block starts.
    EMULATOR void clear()
    {
        memset(start(), 0xff, bytes);
        memset(written, 0, bytes);
    }

    EMULATOR bool intact() { return intact(start() - guard_bytes) && intact(end()); }

    EMULATOR static bool intact(const unsigned char* guard)
    {
        const size_t size = sizeof pattern;
        return !memcmp(guard, &pattern, size) && !memcmp(guard, guard + size, guard_bytes - size);
    }
};

static SharedMemory shared_memory;

#ifdef __ELF__
// Static variables have a separate section, whose start and end the linker defines if it exists.
extern "C" [[gnu::weak, gnu::visibility("hidden")]] unsigned char __start_emulated_shared[], __stop_emulated_shared[];
#define EMULATED_SHARED static __attribute__((section("emulated_shared")))
#else
constexpr unsigned char *__start_emulated_shared = nullptr, *__stop_emulated_shared = nullptr;
#define EMULATED_SHARED static
#endif

static unsigned char static_written[max_static_shared_bytes];

EMULATOR inline size_t static_shared_bytes()
{
    return __stop_emulated_shared - __start_emulated_shared;
}

EMULATOR inline void clear_shared_memory()
{
    if (static_shared_bytes()) {
        memset(__start_emulated_shared, 0xff, static_shared_bytes());
        memset(static_written, 0, static_shared_bytes());
    }
    shared_memory.clear();
}

// ---- Checks --------------------------------------------------------------------------------------------------------

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_access(bool writes, long long offset, size_t size)
{
    fail({writes ? "write" : "read", 0, 0}, "%zu bytes at %lld, outside of the block's %zu bytes of shared memory", size,
         offset, shared_memory.bytes);
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_unwritten(size_t offset, size_t size)
{
    fail({"read", 0, 0}, "%zu bytes at %zu of shared memory that no thread has written", size, offset);
}

// Loops over sizes that the compiler knows are unrolled.
EMULATOR inline __attribute__((always_inline)) void note_access(unsigned char* written, size_t offset, size_t size,
                                                                 bool writes)
{
    bool unwritten = false;
    for (size_t i = offset; i < offset + size; ++i) {
        if (writes) written[i] = 1;
        else unwritten |= !written[i];
    }
    if (unwritten) report_unwritten(offset, size);
}

EMULATOR inline __attribute__((always_inline)) void check_access(const void* address, size_t size, bool writes)
{
    const unsigned char* byte = static_cast<const unsigned char*>(address);
    if (size_t(byte - shared_memory.area) < SharedMemory::area_bytes) {
        const long long offset = byte - shared_memory.start();
        if (offset < 0 || offset + size > shared_memory.bytes) report_access(writes, offset, size);
        note_access(shared_memory.written, offset, size, writes);
    } else if (size_t(byte - __start_emulated_shared) < static_shared_bytes()) {
        note_access(static_written, byte - __start_emulated_shared, size, writes);
    } else {
        check_global(byte, size, writes);
    }
}

// For the accesses of the emulator's own functions, which the compiler does not report.
EMULATOR inline void check_own_access([[maybe_unused]] const void* address, [[maybe_unused]] size_t size,
                                      [[maybe_unused]] bool writes)
{
#ifdef CHECKED
    check_access(address, size, writes);
#endif
}

}  // namespace emulation

#define ACCESS(name, size, writes)                                                                                   \
    extern "C" EMULATOR void name(void* address) { emulation::check_access(address, size, writes); }
#define ACCESSES(prefix, size)                                                                                       \
    ACCESS(__tsan_##prefix##read##size, size, false)                                                                 \
    ACCESS(__tsan_##prefix##write##size, size, true)

#ifdef CHECKED
ACCESSES(, 1)
ACCESSES(, 2)
ACCESSES(, 4)
ACCESSES(, 8)
ACCESSES(, 16)
ACCESSES(unaligned_, 2)
ACCESSES(unaligned_, 4)
ACCESSES(unaligned_, 8)
ACCESSES(unaligned_, 16)

extern "C" EMULATOR void __tsan_read_range(void* address, unsigned long size)
{
    emulation::check_access(address, size, false);
}

extern "C" EMULATOR void __tsan_write_range(void* address, unsigned long size)
{
    emulation::check_access(address, size, true);
}

extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
#endif

#undef ACCESSES
#undef ACCESS

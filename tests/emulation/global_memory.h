// SPDX-License-Identifier: Apache-2.0
// Global memory, as far as its accesses are checked: the arrays that are arguments of the launch, and nothing else.
#pragma once

#include "state.h"

namespace emulation {

// An array of the device. `written` has a byte per byte of the array, which is 0 until something is written there.
struct Array {
    unsigned char* start;
    size_t bytes;
    unsigned char* written;
    size_t guard_bytes;  // before and after it
    int argument;

    EMULATOR bool reaches(const unsigned char* byte) const
    {
        return size_t(byte - (start - guard_bytes)) < bytes + 2 * guard_bytes;
    }
};

struct GlobalMemory {
    const Array* arrays;
    unsigned count, latest;

    EMULATOR const Array* find(const unsigned char* byte)
    {
        for (unsigned i = 0; i < count; ++i, latest = latest + 1 < count ? latest + 1 : 0) {
            if (arrays[latest].reaches(byte)) return &arrays[latest];
        }
        return nullptr;
    }
};

static GlobalMemory global_memory;

#ifdef __ELF__
// Start and end of this library, as the linker defines them: code, constants and static variables.
extern "C" [[gnu::weak, gnu::visibility("hidden")]] unsigned char __ehdr_start[], _end[];
#else
constexpr unsigned char *__ehdr_start = nullptr, *_end = nullptr;
#endif

// Whether an address is that of a local variable, or of a variable or constant of the program.
EMULATOR inline bool is_local(const unsigned char* byte)
{
    return !__ehdr_start || (byte >= __ehdr_start && byte < _end) || stacks.contain(byte);
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_outside(bool writes, const Array& array,
                                                                           long long offset, size_t size)
{
    fail({writes ? "write" : "read", 0, 0}, "%zu bytes at %lld, outside of the %zu bytes of the array of argument %d",
         size, offset, array.bytes, array.argument);
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_undefined(const Array& array, size_t offset,
                                                                             size_t size)
{
    fail({"read", 0, 0}, "%zu bytes at %zu of the array of argument %d that nothing has written", size, offset,
         array.argument);
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_illegal(bool writes, size_t size)
{
    fail({writes ? "write" : "read", 0, 0}, "%zu bytes at an illegal address", size);
}

EMULATOR inline void check_global(const unsigned char* byte, size_t size, bool writes)
{
    const Array* array = global_memory.find(byte);
    if (!array) {
        if (!is_local(byte)) report_illegal(writes, size);
        return;
    }
    const long long offset = byte - array->start;
    if (offset < 0 || offset + size > array->bytes) report_outside(writes, *array, offset, size);
    bool undefined = false;
    for (size_t i = offset; i < offset + size; ++i) {
        if (writes) array->written[i] = 1;
        else undefined |= !array->written[i];
    }
    if (undefined) report_undefined(*array, offset, size);
}

}  // namespace emulation

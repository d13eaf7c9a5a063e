// SPDX-License-Identifier: Apache-2.0
// The state of a block of threads, and the messages of its errors.
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fibres.h"

namespace emulation {

using Word = unsigned long long;

constexpr unsigned max_grid = 0x7fffffff, max_threads = 1024, max_warps = max_threads / 32;
constexpr size_t max_shared_bytes = 227 * 1024, max_static_shared_bytes = 48 * 1024;

// ---- Messages ------------------------------------------------------------------------------------------------------

struct Message {
    char text[8192];
    size_t length;

    void clear() { text[length = 0] = '\0'; }

    void append_list(const char* format, va_list values)
    {
        const size_t room = sizeof text - length;
        const size_t written = vsnprintf(text + length, room, format, values);
        length += written < room ? written : room - 1;
    }

    [[gnu::format(printf, 2, 3)]] void append(const char* format, ...)
    {
        va_list values;
        va_start(values, format);
        append_list(format, values);
        va_end(values);
    }
};

static Message message;

// ---- State ---------------------------------------------------------------------------------------------------------

struct Index {
    unsigned x, y, z;
};

// A call at which threads wait for one another.
struct Call {
    const char* name;
    int line;
    unsigned mask;  // the lanes that take part; 0 for a barrier of the block

    bool operator==(Call other) const
    {
        return mask == other.mask && (name == other.name || !strcmp(name, other.name));
    }
};

struct Warp;

struct Thread {
    Fibre fibre;
    Index index;
    Warp* warp;
    unsigned lane;
    bool exited;
    Call call;        // the latest
    Word value;       // what the thread brought to it
    unsigned source;  // the lane whose value it requested
    Word result;
};

// Computes the results of these lanes of a warp's threads; called once, when the last of them has arrived.
using Finish = void (*)(Thread* threads, unsigned lanes);

struct WarpOperation {
    Call call;
    Finish finish;
    unsigned arrived;
};

// Sets of lanes are bits, lane 0 the lowest.
struct Warp {
    unsigned live, ready;
    unsigned open;  // operations in flight; several if their lanes differ
    WarpOperation operations[32];
    Thread* threads;
    unsigned number;
};

struct Barrier {
    Call call;
    unsigned arrived, ayes;
    unsigned result;  // of the last barrier that all threads reached
};

using Kernel = void (*)(void** arguments);

struct Block {
    Index index, size, grid;
    Thread threads[max_threads];
    Warp warps[max_warps];
    unsigned ready;  // warps with a thread that can run, as bits
    unsigned live;
    Barrier barrier;
    Thread* thread;  // the one that runs
    Fibre launcher;
    Kernel kernel;
    void** arguments;
    Word random;  // 0: threads take turns
};

static Block block;
static Stacks<max_threads> stacks;

EMULATOR inline unsigned number(const Thread& thread)
{
    return static_cast<unsigned>(&thread - block.threads);
}

// ---- Errors --------------------------------------------------------------------------------------------------------

// Returns to the launcher; the fibres of the block are never resumed.
[[noreturn]] EMULATOR inline void abandon_block()
{
    switch_fibre(block.thread->fibre, block.launcher);
    __builtin_unreachable();
}

struct CallText {
    char text[96];

    explicit CallText(Call call)
    {
        if (!call.line) snprintf(text, sizeof text, "%s", call.name);
        else if (call.mask) snprintf(text, sizeof text, "%s(0x%08x) at line %d", call.name, call.mask, call.line);
        else snprintf(text, sizeof text, "%s at line %d", call.name, call.line);
    }
};

// Out of line, like everything that ends a launch: fibres switch faster if their frames are small.
[[noreturn, gnu::noinline, gnu::cold, gnu::format(printf, 2, 3)]] EMULATOR inline void fail(Call call, const char* format, ...)
{
    message.append("block %u, thread %u: %s: ", block.index.x, number(*block.thread), CallText(call).text);
    va_list values;
    va_start(values, format);
    message.append_list(format, values);
    va_end(values);
    abandon_block();
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_divergence(Call call, Call other)
{
    fail(call, "others wait in %s", CallText(other).text);
}

EMULATOR inline bool same_state(const Thread& a, const Thread& b)
{
    return a.exited == b.exited && (a.exited || (a.call == b.call && a.call.line == b.call.line));
}

[[noreturn, gnu::noinline, gnu::cold]] EMULATOR inline void report_deadlock()
{
    message.append("deadlock in block %u", block.index.x);
    for (unsigned first = 0, next = 0; first < block.size.x; first = next) {
        const Thread& thread = block.threads[first];
        while (next < block.size.x && same_state(thread, block.threads[next])) ++next;
        message.append(next - first == 1 ? "\n  thread %u" : "\n  threads %u to %u", first, next - 1);
        if (thread.exited) message.append(" exited");
        else message.append(": %s", CallText(thread.call).text);
    }
    abandon_block();
}

}  // namespace emulation

// SPDX-License-Identifier: Apache-2.0
// Runs one block of threads at a time: scheduling, barriers, warp operations, shared memory and launches.
#pragma once

#include "shared_memory.h"

namespace emulation {

// ---- Scheduling ----------------------------------------------------------------------------------------------------

EMULATOR inline unsigned lowest(unsigned bits)
{
    return __builtin_ctz(bits);
}

EMULATOR inline unsigned first_after(unsigned position, unsigned bits)
{
    const unsigned later = bits & (~1u << position);
    return lowest(later ? later : bits);
}

EMULATOR inline unsigned random_below(unsigned bound)
{
    block.random = block.random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>((block.random >> 32) * bound >> 32);
}

EMULATOR inline unsigned random_bit(unsigned bits)
{
    return first_after(random_below(32), bits);
}

// One of the threads of the same warp in `lanes`, or the first of the next warp if there is none.
EMULATOR inline Thread& next_in_turn(const Thread& thread, unsigned lanes)
{
    if (lanes) return thread.warp->threads[first_after(thread.lane, lanes)];
    const Warp& warp = block.warps[first_after(thread.warp->number, block.ready)];
    return warp.threads[lowest(warp.ready)];
}

EMULATOR inline Thread& next_at_random()
{
    const Warp& warp = block.warps[random_bit(block.ready)];
    return warp.threads[random_bit(warp.ready)];
}

EMULATOR inline void run_next(unsigned lanes)
{
    if (!block.ready) report_deadlock();
    Thread& previous = *block.thread;
    Thread& next = block.random ? next_at_random() : next_in_turn(previous, lanes);
    if (&next == &previous) return;
    block.thread = &next;
    switch_fibre(previous.fibre, next.fibre);
}

// Lets other threads run. Every warp gets its turn; otherwise a warp that waits for another in a loop might never end.
EMULATOR inline void yield()
{
    const Thread& self = *block.thread;
    run_next(self.warp->ready & (~1u << self.lane));
}

// Lets other threads run until this one is woken. Warps run as far ahead of each other as they can, which exposes
// missing barriers.
EMULATOR inline void suspend()
{
    const Thread& self = *block.thread;
    Warp& warp = *self.warp;
    warp.ready &= ~(1u << self.lane);
    if (!warp.ready) block.ready &= ~(1u << warp.number);
    run_next(warp.ready);
}

EMULATOR inline void wake(Warp& warp, unsigned lanes)
{
    warp.ready |= lanes;
    block.ready |= 1u << warp.number;
}

// The last thread to arrive continues, which saves a switch; a random schedule must not favour it.
EMULATOR inline void yield_if_random()
{
    if (block.random) yield();
}

// ---- Barriers ------------------------------------------------------------------------------------------------------

// Whether this call completes the barrier. Exited threads count as arrived.
EMULATOR inline bool finish_barrier()
{
    Barrier& barrier = block.barrier;
    if (!barrier.arrived || barrier.arrived < block.live) return false;
    barrier.result = barrier.ayes;
    barrier.arrived = barrier.ayes = 0;
    for (Warp& warp : block.warps) {
        if (warp.live) wake(warp, warp.live);
    }
    return true;
}

// Waits for all threads of the block; returns the number of those with a true `aye`.
EMULATOR inline unsigned meet_block(const char* name, bool aye, int line)
{
    Barrier& barrier = block.barrier;
    const Call call = block.thread->call = {name, line, 0};
    if (!barrier.arrived) barrier.call = call;
    else if (!(call == barrier.call) || call.line != barrier.call.line) report_divergence(call, barrier.call);
    ++barrier.arrived;
    barrier.ayes += aye;
    if (finish_barrier()) yield_if_random();
    else suspend();
    return barrier.result;
}

// ---- Warp operations -----------------------------------------------------------------------------------------------

// Whether this call completes the operation. Exited threads count as arrived.
EMULATOR inline bool finish_operation(Warp& warp, WarpOperation& operation)
{
    if (operation.arrived != (operation.call.mask & warp.live)) return false;
    operation.finish(warp.threads, operation.arrived);
    wake(warp, operation.arrived);
    operation = warp.operations[--warp.open];
    return true;
}

EMULATOR inline WarpOperation& join_operation(Warp& warp, Call call, Finish finish)
{
    for (unsigned i = 0; i < warp.open; ++i) {
        WarpOperation& operation = warp.operations[i];
        if (operation.call == call) return operation;
        // Two lanes that wait for each other in different operations would wait for ever.
        const unsigned waiting = call.mask & operation.arrived;
        if (waiting && operation.call.mask >> block.thread->lane & 1) report_divergence(call, operation.call);
    }
    return warp.operations[warp.open++] = {call, finish, 0};
}

// Waits for the lanes of `call.mask`; returns what `finish` left for this lane.
EMULATOR inline Word meet_warp(Call call, Word value, unsigned source, Finish finish)
{
    Thread& self = *block.thread;
    const unsigned bit = 1u << self.lane;
    if (!(call.mask & bit)) fail(call, "lane %u is not in the mask", self.lane);
    self.call = call;
    self.value = value;
    self.source = source;
    WarpOperation& operation = join_operation(*self.warp, call, finish);
    operation.arrived |= bit;
    if (finish_operation(*self.warp, operation)) yield_if_random();
    else suspend();
    return self.result;
}

// ---- Launching -----------------------------------------------------------------------------------------------------

[[noreturn]] EMULATOR inline void run_thread()
{
    block.kernel(block.arguments);
    Thread& self = *block.thread;
    Warp& warp = *self.warp;
    self.exited = true;
    warp.live &= ~(1u << self.lane);
    if (!--block.live) abandon_block();
    finish_barrier();
    for (unsigned i = warp.open; i-- > 0;) finish_operation(warp, warp.operations[i]);
    suspend();
    __builtin_unreachable();
}

EMULATOR inline void start_warp(unsigned number)
{
    const unsigned first = 32 * number, lanes = block.size.x > first ? block.size.x - first : 0;
    Warp& warp = block.warps[number];
    warp.number = number;
    warp.threads = &block.threads[first];
    warp.live = warp.ready = lanes < 32 ? (1u << lanes) - 1 : ~0u;
    warp.open = 0;
    if (lanes) block.ready |= 1u << number;
}

EMULATOR inline void start_thread(Thread& thread)
{
    const unsigned number = emulation::number(thread);
    thread.index = {number, 0, 0};
    thread.warp = &block.warps[number / 32];
    thread.lane = number % 32;
    thread.exited = false;
    prepare(thread.fibre, stacks.stack(number), stacks.bytes(number), run_thread);
}

EMULATOR inline void run_block(unsigned number)
{
    clear_shared_memory();
    block.index = {number, 0, 0};
    block.live = block.size.x;
    block.ready = 0;
    block.barrier = {};
    for (unsigned i = 0; i < max_warps; ++i) start_warp(i);
    for (unsigned i = 0; i < block.size.x; ++i) start_thread(block.threads[i]);
    block.thread = &block.threads[block.random ? random_below(block.size.x) : 0];
    switch_fibre(block.launcher, block.thread->fibre);
    if (!message.length && !shared_memory.intact()) {
        message.append("block %u wrote outside of its %zu bytes of shared memory", number, shared_memory.bytes);
    }
}

EMULATOR inline unsigned common_divisor(unsigned a, unsigned b)
{
    return b ? common_divisor(b, a % b) : a;
}

// Steps of a length coprime to the grid reach every block once.
EMULATOR inline void run_grid(unsigned grid)
{
    Word step = 1, number = 0;
    if (block.random) {
        number = random_below(grid);
        do step = 1 + random_below(grid);
        while (common_divisor(grid, step) != 1);
    }
    for (unsigned i = 0; i < grid && !message.length; ++i, number = (number + step) % grid) run_block(number);
}

EMULATOR inline bool check_configuration(unsigned grid, unsigned threads, Word shared_bytes)
{
    const size_t fixed = static_shared_bytes();
    if (!grid || grid > max_grid || !threads || threads > max_threads) {
        message.append("invalid configuration: %u blocks of %u threads", grid, threads);
    } else if (fixed > max_static_shared_bytes || shared_bytes > max_shared_bytes - fixed) {
        message.append("too much shared memory: %zu static and %llu dynamic bytes", fixed, shared_bytes);
    } else if (!stacks.reserve(threads)) {
        message.append("no memory for the stacks of %u threads", threads);
    }
    return !message.length;
}

EMULATOR inline int launch(Kernel kernel, unsigned grid, unsigned threads, Word shared_bytes, void** arguments, Word seed)
{
    message.clear();
    if (check_configuration(grid, threads, shared_bytes)) {
        block.kernel = kernel;
        block.arguments = arguments;
        block.size = {threads, 1, 1};
        block.grid = {grid, 1, 1};
        block.random = seed;
        shared_memory.resize(shared_bytes);
        run_grid(grid);
    }
    return message.length != 0;
}

}  // namespace emulation

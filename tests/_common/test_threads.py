# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from simplugins._common.threads import in_threads


class Task:
    pairs = 1


def run(work, count=8, threads=2):
    in_threads(work, (Task() for _ in range(count)), pairs=count, threads=threads, progress=False, title="title")


def threads_used(threads, calls):
    """Return the threads that worked on tasks of several calls, each of which needs all its threads at once."""
    used = set()
    for _ in range(calls):
        together = threading.Barrier(threads)

        def work(task, together=together):
            used.add(threading.current_thread())
            together.wait(30)

        run(work, count=threads, threads=threads)
        time.sleep(0.05)  # for the threads to wait again
    return used


def test_later_calls_use_the_threads_of_earlier_ones():
    first = threads_used(3, calls=1)
    assert len(first) == 3
    before = threading.active_count()
    assert len(threads_used(3, calls=5) & first) >= 1
    assert threading.active_count() <= before + 3


def test_calls_within_calls_do_not_wait_for_each_other():
    done = []
    together = threading.Barrier(4)

    def outer(task):
        together.wait(30)  # all threads of the outer call are occupied
        run(lambda task: run(done.append, count=2), count=2)

    run(outer, count=4, threads=4)
    assert len(done) == 16


def test_calls_in_several_threads_have_their_own_errors():
    errors = {}

    def call(number):
        def work(task):
            if number % 2:
                raise ValueError(str(number))

        try:
            run(work, count=50)
        except ValueError as error:
            errors[number] = str(error)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert errors == {1: "1", 3: "3", 5: "5"}


def test_an_error_is_raised_only_after_tasks_that_had_begun_have_ended():
    begun, ended = threading.Event(), threading.Event()

    def work(task):
        if threading.current_thread() is not failing.setdefault("thread", threading.current_thread()):
            begun.set()
            time.sleep(0.3)
            ended.set()
            return
        begun.wait(30)
        raise RuntimeError("failed")

    failing = {}
    with pytest.raises(RuntimeError, match="failed"):
        run(work)
    assert ended.is_set()


def test_blas_has_one_thread_during_a_call_and_as_many_as_before_after_it():
    def count():
        libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
        return {library["filepath"]: library["num_threads"] for library in libraries}

    with threadpool_limits(2, user_api="blas"):
        before, within = count(), []
        assert before
        run(lambda task: within.append(count()))
        assert all(threads == 1 for library in within for threads in library.values())
        assert count() == before


FORKED = """
import os, sys, threading, time
from simplugins._common.threads import _blas, in_threads

class Task:
    pairs = 1

def run():
    done = []
    in_threads(done.append, [Task() for _ in range(6)], pairs=6, threads=2, progress=False, title="title")
    return len(done)

assert run() == 6
child = os.fork()
if child == 0:
    os._exit(0 if run() == 6 and run() == 6 else 1)
for _ in range(300):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("the child waits for threads that it does not have")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_starts_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


INTERRUPTED = """
import threading
from simplugins._common.threads import in_threads

class Task:
    pairs = 1

def run(count):
    done = []
    in_threads(done.append, [Task() for _ in range(count)], pairs=count, threads=2, progress=False, title="title")
    return len(done)

def interrupted_start(thread):
    started(thread)
    raise KeyboardInterrupt

started = threading.Thread.start
threading.Thread.start = interrupted_start
try:
    run(50)
except KeyboardInterrupt:
    print("interrupted")
threading.Thread.start = started
{later}
"""


@pytest.mark.parametrize(("later", "printed"), [("", "interrupted"), ("print(run(6))", "6")])
def test_a_process_interrupted_while_it_starts_threads_can_go_on_and_ends(later, printed):
    code = INTERRUPTED.replace("{later}", later)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split()[-1] == printed, done.stderr
    assert done.returncode == 0

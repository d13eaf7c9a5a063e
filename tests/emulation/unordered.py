# SPDX-License-Identifier: Apache-2.0
"""An emulated GPU whose streams advance in a random order, as far as events permit."""

from __future__ import annotations

import random
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emulation.device import EmulationError, LateDevice, view_of
from simplugins.compute.engines.cuda.streams import Lane, Streams

_NEW_ORDER = 8
"""The order in which streams are preferred changes after this number of operations, on average."""


class Event(NamedTuple):
    """The moment at which a number of operations of a stream are complete."""

    stream: Stream
    number: int

    def is_past(self) -> bool:
        return self.stream.finished >= self.number

    def synchronize(self) -> None:
        self.stream.device.finish(self)


class Stream:
    """Operations in order, with the interface of CuPy's streams.

    Attributes
    ----------
    unused : list of arrays
        Memory that later arrays of the stream get without waiting for anything, as in CuPy's pool.
    """

    def __init__(self, device: UnorderedDevice) -> None:
        self.device = device
        self.waiting: deque[tuple[Callable[[], object], Event | None]] = deque()
        self.started = self.finished = 0
        self.unused: list[NDArray[np.uint8]] = []

    def add(self, work: Callable[[], object], after: Event | None = None) -> Event:
        self.waiting.append((work, after))
        self.started += 1
        return self.record()

    def record(self) -> Event:
        return Event(self, self.started)

    def wait_event(self, event: Event) -> None:
        self.add(lambda: None, event)

    def synchronize(self) -> None:
        self.record().synchronize()

    def __enter__(self) -> None:
        self.device.current.append(self)

    def __exit__(self, *_: object) -> None:
        self.device.current.pop()

    def is_ready(self) -> bool:
        """Whether the next operation may be carried out."""
        return bool(self.waiting) and (self.waiting[0][1] is None or self.waiting[0][1].is_past())

    def step(self) -> None:
        self.waiting.popleft()[0]()
        self.finished += 1


class DeviceArray(np.ndarray):
    """An array in the memory of a device. NumPy's functions of it follow all work so far on the current stream."""

    owner: UnorderedDevice | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.owner = getattr(source, "owner", None)

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **options: Any) -> Any:
        plain = [_caught_up(value) for value in inputs]
        if "out" in options:
            options["out"] = tuple(map(_caught_up, options["out"]))
        return getattr(ufunc, method)(*plain, **options)

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return function(*_caught_up(list(inputs)), **options)

    def __setitem__(self, place: Any, value: Any) -> None:
        _caught_up(self)[place] = _caught_up(value)

    def astype(self, dtype: Any, *arguments: Any, copy: Any = True, **options: Any) -> Any:
        if not copy and self.dtype == dtype:
            return self
        return _caught_up(self).astype(dtype, *arguments, **options)


DeviceArray.__module__ = "numpy"


def _caught_up(value: Any) -> Any:
    """Return an array, or those of a list, as plain ones, after all work so far on the current stream."""
    if isinstance(value, list | tuple):
        return [_caught_up(each) for each in value]
    if isinstance(value, DeviceArray):
        assert value.owner is not None
        value.owner.current[-1].synchronize()
        return np.asarray(value)
    return value


class UnorderedDevice(LateDevice):
    """A device with the streams of `simplugins.compute.engines.cuda.streams`, in an order that `seed` decides.

    At each action of the host, a random number of operations is carried out: those of the stream that is preferred at
    the moment if its next one is ready, otherwise of the next stream. Memory of arrays that are no longer referenced is
    given to new ones of the same stream, and overwritten there, whatever other streams do with it.
    """

    def __init__(self, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._random = random.Random(seed)
        self.current: list[Stream] = []
        self._all: list[Stream] = []
        main, uploads = self._new_stream(), self._new_stream()
        self.current.append(main)
        self._streams = Streams(Lane(main), uploads, [], lambda: Lane(self._new_stream()))

    def _new_stream(self) -> Stream:
        stream = Stream(self)
        self._all.insert(self._random.randint(0, len(self._all)), stream)
        return stream

    def lane(self, number: int) -> AbstractContextManager[None]:
        return self._streams.lane(number)

    def _later(self, work: Callable[[], object]) -> Event:  # type: ignore[override]
        done = self.current[-1].add(work)
        self._advance(self._random.randrange(4))
        return done

    def _advance(self, steps: int) -> bool:
        """Carry out up to some number of operations; return whether there was any."""
        for step in range(steps):
            if self._random.randrange(_NEW_ORDER) == 0:
                self._random.shuffle(self._all)
            ready = next((stream for stream in self._all if stream.is_ready()), None)
            if ready is None:
                return step > 0
            ready.step()
        return steps > 0

    def finish(self, event: Event) -> None:
        while not event.is_past():
            if not self._advance(1):
                raise EmulationError("streams wait for each other")

    _finish = finish  # type: ignore[assignment]

    def retire(self) -> None:
        self._streams.join()

    def settle(self) -> None:
        self._streams.synchronize()

    def release(self) -> None:
        self._streams.synchronize()
        for stream in self._all:
            stream.unused.clear()

    def _kept_bytes(self) -> int:
        return sum(memory.nbytes for stream in self._all for memory in stream.unused)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        stream, dtype = self.current[-1], np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        fitting = [k for k, memory in enumerate(stream.unused) if memory.nbytes >= size]
        memory = stream.unused.pop(fitting[0]) if fitting else super().empty((size,), np.uint8)
        array = memory[:size].view(dtype).reshape(shape).view(DeviceArray)
        array.owner = self
        weakref.finalize(array, stream.unused.append, memory)
        if fitting:
            self._later(partial(view_of(array).reshape(-1).view(np.uint8).fill, 0xFF))
        return array

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        if self._owns(array) and array.flags.c_contiguous:
            return array
        values = np.array(_caught_up(array), order="C")  # the host copies to page-locked memory at once
        with self._streams.uploads:
            copy = self.empty(values.shape, values.dtype)
            done = self._later(partial(np.copyto, view_of(copy), values))
        self._streams.wait_for_upload(done)
        return copy

    def _owns(self, array: object) -> bool:
        return super()._owns(np.asarray(array) if isinstance(array, DeviceArray) else array)

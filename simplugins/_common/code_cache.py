# SPDX-License-Identifier: Apache-2.0
"""The machine code of compiled functions on disk: where it lies, and when it is out of date.

Numba compares the source of the file of the function that Python calls. Its machine code contains the functions that it
calls in turn, so here the sources of all compiled stages count: after an update, nothing old runs.

Numba only reads folders that it can write. A folder that was filled beforehand, such as that of an image of a container
(`simplugins.precompile`), is read here even if it is read-only.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

_FILLED_BEFOREHAND = {"UserProvidedCacheLocator", "InTreeCacheLocator"}
"""Numba's locators of ``NUMBA_CACHE_DIR`` and of the folder of the source."""


@cache
def sources_stamp(package: Path = Path(__file__).parents[1]) -> str:
    """Return a hash of the sources that any compiled function may contain, in addition to those of its own file."""
    digest = hashlib.sha256()
    common = [package / "_common" / name for name in ("compiled.py", "inner_functions.py")]
    for source in [*common, *sorted((package / "matching").glob("*.py"))]:
        digest.update(source.read_bytes() if source.exists() else b"")  # an archive or an executable has no files
    return digest.hexdigest()


class _StampedCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, in the first folder that is writable.

    Raises
    ------
    RuntimeError
        If no folder is writable.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), sources_stamp()
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp)


def _readable(locator: Any) -> Any:
    return type(locator.__name__, (locator,), {"ensure_cache_path": lambda self: None})


class _ReadableFolders(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes: ClassVar[list[Any]] = [
        _readable(locator)
        for locator in CompileResultCacheImpl._locator_classes
        if locator.__name__.lstrip("_") in _FILLED_BEFOREHAND
    ]


class _FilledCache(_StampedCache):
    """A cache that somebody filled, and that may be read-only."""

    _impl_class = _ReadableFolders


def _cache_or_none(kind: type[_StampedCache], function: Callable[..., Any]) -> _StampedCache | None:
    try:
        return kind(function)
    except RuntimeError:
        return None


class CodeCache:
    """The machine code of a function by signature: that which was compiled beforehand, and that which this user adds.

    It has the methods that Numba's dispatchers call.

    Attributes
    ----------
    name : str
        The function's module and name.
    cache_path : str or None
        The folder for new machine code, if any is writable.
    loaded, saved : list of str
        The signatures whose machine code this process has loaded, and those that it has compiled and saved.
    failure : str or None
        Why machine code could not be saved.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.own = _cache_or_none(_StampedCache, function)  # without it, each process compiles for itself
        self.cache_path = None if self.own is None else self.own.cache_path
        self.loaded: list[str] = []
        self.saved: list[str] = []
        self.failure: str | None = None

    @cached_property
    def filled(self) -> _StampedCache | None:
        """The cache that was filled beforehand, if it is another one."""
        result = _cache_or_none(_FilledCache, self.function)
        return None if result is None or result.cache_path == self.cache_path else result

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the compiled function, or None."""
        result = self._load_own(signature, context) or self._load_filled(signature, context)
        if result is not None:
            self.loaded.append(str(signature))
        return result

    def _load_own(self, signature: Any, context: Any) -> Any:
        if self.own is None:
            return None
        with _locked(self.own.cache_path, shared=True):
            return self.own.load_overload(signature, context)

    def _load_filled(self, signature: Any, context: Any) -> Any:
        try:
            return None if self.filled is None else self.filled.load_overload(signature, context)
        except OSError:  # not readable either
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function; warn if the disk is full."""
        if self.own is None:
            return
        try:
            with _locked(self.own.cache_path):
                self.own.save_overload(signature, result)
        except OSError as error:
            self.failure = str(error)
            warnings.warn(
                f"cannot save machine code in {self.cache_path}: {error}; each process will compile it again. Set "
                f"NUMBA_CACHE_DIR to a folder with free space",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            self.saved.append(str(signature))

    def flush(self) -> None:
        """Forget this user's machine code."""
        if self.own is not None:
            self.own.flush()


@contextmanager
def _locked(folder: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, where there are locks: Numba mixes up entries that two processes save at once."""
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            os.makedirs(folder, exist_ok=True)
            file = stack.enter_context(open(os.path.join(folder, ".simplugins.lock"), "a+"))
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)  # until it is closed
        yield

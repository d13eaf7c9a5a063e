# SPDX-License-Identifier: Apache-2.0
"""Adapters: what carries RSMs, comparisons and similarities of networks into other tools, and back.

`Adapter` says what one is. Ours are in the package ``simplugins_adapters``; others' come with any distribution that
declares them as entry points of the group ``simplugins.adapters``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import signature
from typing import Any

from simplugins import plugins
from simplugins.comparisons.inputs import all_aligned, check_same_inputs
from simplugins.comparisons.layers import Comparison
from simplugins.comparisons.networks import NetworkSimilarity
from simplugins.rsm.rsm import RSM

GROUP = plugins.ADAPTERS


@dataclass(frozen=True)
class Availability:
    """Whether a tool can be used here; true if it can.

    Attributes
    ----------
    reason : str or None
        Why not, and what to install; None if it can.
    """

    reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        return self.reason or "available"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What carries our objects into one other tool, and its objects back; a plugin of ``simplugins.adapters``.

    Everything but `tool`, `modules` and `install` may be left out: no tool takes everything. Functions import the tool
    when they are called, not before; they are only called where it is available. They leave what they are given as it
    is, and what they return shares no memory with it.

    Attributes
    ----------
    tool : str
        What its makers call it.
    modules : tuple of str
        The modules that must be there, such as ``("sklearn",)``.
    install : str
        The command that installs the tool.
    rsm : callable(RSM, **options), optional
        Returns one RSM as an object of the tool.
    rsms : callable(mapping of str to RSM, **options), optional
        Returns RSMs of the same inputs, by layer, as one object of the tool. Without it each is carried by itself.
    comparison : callable(Comparison, **options), optional
        Returns a comparison of layers as an object of the tool.
    similarity : callable(NetworkSimilarity, **options), optional
        Returns a similarity of networks as a measure of the tool.
    back : callable(object, **options), optional
        Returns an object of the tool, or a file that it wrote, as an RSM; several as a dict by name; or activations by
        layer, where that is what the tool stores.
    registry : callable(**options), optional
        Enters our similarities into the tool's registry of measures, in this process, and returns their names there.
    command : callable(list of str), optional
        Runs the tool's own command line with our measures registered.
    check : callable() -> str or None, optional
        Looks into the modules once they are found: why they are not the tool, or None. For tools whose modules others
        share the name of.

    Examples
    --------
    >>> import numpy as np
    >>> nested = Adapter(tool="nested lists", modules=(), install="nothing", rsm=lambda rsm: rsm.values.tolist())
    >>> nested.to(RSM.from_similarities(np.eye(2)))
    [[1.0, 0.0], [0.0, 1.0]]
    """

    tool: str
    modules: tuple[str, ...]
    install: str
    rsm: Callable[..., Any] | None = field(default=None, repr=False)
    rsms: Callable[..., Any] | None = field(default=None, repr=False)
    comparison: Callable[..., Any] | None = field(default=None, repr=False)
    similarity: Callable[..., Any] | None = field(default=None, repr=False)
    back: Callable[..., Any] | None = field(default=None, repr=False)
    registry: Callable[..., list[str]] | None = field(default=None, repr=False)
    command: Callable[[list[str]], None] | None = field(default=None, repr=False)
    check: Callable[[], str | None] | None = field(default=None, repr=False)

    def available(self) -> Availability:
        """Tell whether the tool can be used here, or why not; nothing is imported, but by `check`."""
        missing = [module for module in self.modules if not _is_installed(module)]
        if missing:
            return Availability(f"{self.tool} is not installed ({', '.join(missing)} not found): {self.install}")
        wrong = None if self.check is None else self.check()
        return Availability(None if wrong is None else f"{wrong}: {self.install}")

    def to(self, what: Any, *, align: bool = False, **options: Any) -> Any:
        """Return RSMs, a comparison, or a similarity of networks as an object of the tool; see `to_tool`."""
        if isinstance(what, RSM):
            if self.rsm is None and self.rsms is not None:
                return self._call(self.rsms, "RSMs", {what.measure: what}, **options)
            return self._call(self.rsm, "an RSM", what, **options)
        if isinstance(what, Comparison):
            return self._call(self.comparison, "a comparison of layers", what, **options)
        if isinstance(what, NetworkSimilarity):
            return self._call(self.similarity, "a similarity of networks", what, **options)
        return self._several(what, align, options)

    def back_from(self, found: Any, **options: Any) -> Any:
        """Return an object of the tool as ours; see `from_tool`."""
        return self._call(self.back, "anything back", found, **options)

    def register(self, **options: Any) -> list[str]:
        """Enter our similarities of networks into the tool's registry, in this process.

        Returns
        -------
        list of str
            What they are called there.

        Raises
        ------
        ImportError
            If the tool is not installed.
        TypeError
            If it has no registry.
        """
        return list(self._call(self.registry, "measures in a registry", **options))

    def run(self, arguments: Sequence[str]) -> None:
        """Run the tool's command line, with our similarities of networks registered.

        Raises
        ------
        ImportError
            If the tool is not installed.
        TypeError
            If it has no command line that could be run so.
        """
        self._call(self.command, "measures on its command line", list(arguments))

    def takes(self) -> list[str]:
        """Return what can be done: "RSM", "layers", "comparison", "similarity", "back", "register", "run"."""
        parts = {
            "RSM": self.rsm or self.rsms,
            "layers": self.rsms,
            "comparison": self.comparison,
            "similarity": self.similarity,
            "back": self.back,
            "register": self.registry,
            "run": self.command,
        }
        return [name for name, part in parts.items() if part is not None]

    def _several(self, what: Any, align: bool, options: Mapping[str, Any]) -> Any:
        """Carry several RSMs, checked to be of the same inputs, in one object or each by itself."""
        rsms = _by_name(what)
        first = next(iter(rsms.values()))
        if align:
            rsms = all_aligned(first, rsms)
        check_same_inputs(list(rsms.items()), 2, self.tool)
        if self.rsms is not None:
            return self._call(self.rsms, "RSMs", rsms, **options)
        carried = {name: self._call(self.rsm, "an RSM", rsm, **options) for name, rsm in rsms.items()}
        return carried if isinstance(what, Mapping) else list(carried.values())

    def _call(self, function: Callable[..., Any] | None, kind: str, *given: Any, **options: Any) -> Any:
        if function is None:
            raise TypeError(f"the adapter of {self.tool} does not carry {kind}; it has: {', '.join(self.takes())}")
        if not (available := self.available()):
            raise ImportError(str(available))
        _check_options(self.tool, function, given, options)
        with self._importing():
            return function(*given, **options)

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Say how to mend it if the tool is there, but cannot be imported."""
        try:
            yield
        except ImportError as error:
            raise ImportError(
                f"{self.tool} is installed but could not be imported ({error}): {self.install}"
            ) from error


def adapter(tool: str) -> Adapter:
    """Return the adapter of a tool, which need not be installed.

    Parameters
    ----------
    tool : str
        A plugin of the group ``simplugins.adapters``, such as "rsatoolbox"; `simplugins plugins` lists them.

    Returns
    -------
    Adapter

    Raises
    ------
    ValueError
        If there is none of that name; the error names the nearest ones.
    PluginError
        If the plugin cannot be loaded.

    Examples
    --------
    >>> adapter("scikit-learn").install
    "pip install 'simplugins[scikit-learn]'"
    """
    found = plugins.load(GROUP, tool)
    if not isinstance(found, Adapter):
        raise plugins.PluginError(
            f"plugin {tool!r} of {GROUP} was to be a simplugins.Adapter, it is of type {type(found).__name__}"
        )
    return found


def to_tool(tool: str, what: Any, *, align: bool = False, **options: Any) -> Any:
    """Return RSMs, a comparison of layers, or a similarity of networks as an object of another tool.

    Parameters
    ----------
    tool : str
        As for `adapter`.
    what : RSM, mapping of str to RSM, sequence of RSM, Comparison or NetworkSimilarity
        Several RSMs, such as those of a network's layers, are of the same inputs in the same order, as far as their
        labels tell. So they go together, where the tool itself would not notice.
    align : bool, default False
        Whether several RSMs whose labels stand in another order are brought into that of the first. Otherwise that is
        an error.
    **options
        Of the adapter; its page in docs/tools has them.

    Returns
    -------
    object
        Of the tool. Several RSMs come as one object where the tool has one for that, else as a dict or a list.

    Raises
    ------
    ValueError
        If there is no adapter of that name, RSMs are of different inputs, or the tool has no place for them, such as an
        RSM of inputs with others.
    TypeError
        If the adapter does not carry such an object, or has no such option.
    ImportError
        If the tool is not installed; the error says what to install.

    Examples
    --------
    >>> import numpy as np
    >>> rsms = {"early": RSM.from_similarities(np.eye(3), labels=list("abc")), "late": RSM.from_similarities(np.ones((3, 3)), labels=list("abc"))}
    >>> to_tool("xarray", rsms).dims
    ('layer', 'stimulus_i', 'stimulus_j')
    """
    return adapter(tool).to(what, align=align, **options)


def from_tool(tool: str, found: Any, **options: Any) -> Any:
    """Return an object of another tool, or a file that it wrote, as an RSM, RSMs by name, or activations by layer.

    Parameters
    ----------
    tool : str
        As for `adapter`.
    found : object or path
        What the adapter reads; its page in docs/tools tells.
    **options
        Of the adapter.

    Returns
    -------
    RSM, dict of str to RSM, or dict of str to array

    Raises
    ------
    ValueError
        If there is no adapter of that name, or what is found cannot be read as an RSM.
    TypeError
        If the adapter reads nothing back, or has no such option.
    ImportError
        If the tool is not installed; the error says what to install.

    Examples
    --------
    >>> import numpy as np
    >>> rsm = RSM.from_similarities(np.eye(3), labels=list("abc"))
    >>> from_tool("xarray", to_tool("xarray", rsm)).labels
    array(['a', 'b', 'c'], dtype='<U1')
    """
    return adapter(tool).back_from(found, **options)


def _check_options(tool: str, function: Callable[..., Any], given: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Check that a part of an adapter has these options."""
    parameters = signature(function)
    try:
        parameters.bind(*given, **options)
    except TypeError as error:
        known = [name for name, option in parameters.parameters.items() if option.kind is option.KEYWORD_ONLY]
        raise TypeError(f"{tool}: {error}; its options here: {', '.join(known) or 'none'}") from None


def _is_installed(module: str) -> bool:
    """Tell whether a module can be found; only what contains it is imported. A mere folder of that name is none."""
    try:
        found = find_spec(module)
        return found is not None and found.origin is not None
    except (ImportError, ValueError):
        return module in sys.modules


def _by_name(what: Any) -> dict[str, RSM]:
    """Return several RSMs by name; those of a sequence are numbered."""
    if isinstance(what, Mapping):
        found = {str(name): rsm for name, rsm in what.items()}
    elif isinstance(what, Sequence) and not isinstance(what, str):
        found = {f"RSM {place}": rsm for place, rsm in enumerate(what)}
    else:
        found = {}
    for name, rsm in found.items():
        if not isinstance(rsm, RSM):
            raise TypeError(f"{name}: expected an RSM, got {type(rsm).__name__}")
    if not found:
        raise TypeError(
            f"expected an RSM, several by name or in a sequence, a comparison or a similarity, got "
            f"{type(what).__name__}"
        )
    return found

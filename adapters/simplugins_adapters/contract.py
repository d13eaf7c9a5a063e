# SPDX-License-Identifier: Apache-2.0
"""The contract of adapters, which convert RSMs, comparisons and similarities of networks for other tools, and back.

Each module of this package defines one; any distribution can declare more as entry points of the group
``simplugins.adapters``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from simplugins import RSM, Comparison, plugins
from simplugins_adapters.similarities import resolve_similarity

GROUP = "simplugins.adapters"

_CONVERSIONS = ("rsm", "rsms", "comparison", "similarity", "reader", "registry", "command")


@dataclass(frozen=True)
class Availability:
    """Whether a tool can be used here; true if it can.

    Attributes
    ----------
    reason : str or None
        Why the tool cannot be used, and what to install; None if it can.
    """

    reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        return self.reason or "available"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Conversions between simplugins and one other tool; a plugin of the group ``simplugins.adapters``.

    Only `tool`, `modules` and `install` are required: few tools have a use for everything. Options of a conversion are
    its keyword-only parameters. Conversions import the tool when they are called, leave their arguments unchanged, and
    return objects that share no memory with them.

    Attributes
    ----------
    tool : str
        The tool's own name.
    modules : tuple of str
        The modules that must be installed, such as ``("sklearn",)``.
    install : str
        The command that installs the tool.
    rsm : ``callable(RSM, *, options)``, optional
        Returns an RSM as an object of the tool.
    rsms : ``callable(mapping of str to RSM, *, options)``, optional
        Returns the RSMs of several layers, for the same inputs, as one object of the tool. Without it, each RSM is
        converted separately.
    comparison : ``callable(Comparison, *, options)``, optional
        Returns a comparison of layers as an object of the tool.
    similarity : ``callable(similarity, *, options)``, optional
        Returns a similarity of networks as a measure of the tool: a `simplugins.NetworkSimilarity`, or any callable
        that compares the activations of two networks.
    reader : ``callable(object, *, options)``, optional
        Returns an object or a file of the tool as an RSM, as a dict of RSMs, or as a dict of activations by layer.
    registry : callable(), optional
        Registers our similarities of networks with the tool, in this process, and returns their names there.
    command : callable(list of str), optional
        Runs the tool's own command line with our similarities registered.
    check : callable() -> str or None, optional
        For tools whose module names are ambiguous: says why the installed modules are not the tool, or returns None.

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
    reader: Callable[..., Any] | None = field(default=None, repr=False)
    registry: Callable[..., list[str]] | None = field(default=None, repr=False)
    command: Callable[[list[str]], None] | None = field(default=None, repr=False)
    check: Callable[[], str | None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.modules, str) or not all(isinstance(module, str) for module in self.modules):
            raise TypeError(f"the adapter of {self.tool}: modules must be a tuple of names, got {self.modules!r}")
        for name in (*_CONVERSIONS, "check"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                raise TypeError(
                    f"the adapter of {self.tool}: {name} must be a function, got {type(getattr(self, name)).__name__}"
                )

    def available(self) -> Availability:
        """Return whether the tool can be used here; only `check` may import anything."""
        missing = [module for module in self.modules if not _is_installed(module)]
        if missing:
            return Availability(f"{self.tool} is not installed ({', '.join(missing)} not found): {self.install}")
        reason = None if self.check is None else self.check()
        return Availability(None if reason is None else f"{reason}: {self.install}")

    def capabilities(self) -> list[str]:
        """Return the conversions that exist: the names of the attributes above that are not None.

        "rsm" is among them if there is only `rsms`, as a single RSM is then converted by that.
        """
        return [name for name in _CONVERSIONS if getattr(self, name) or (name == "rsm" and self.rsms)]

    def to(self, item: Any, *, align: bool = False, **options: Any) -> Any:
        """Return RSMs, a comparison, or a similarity of networks as an object of the tool; see `to_tool`."""
        if isinstance(item, RSM):
            if self.rsm is None and self.rsms is not None:
                return self._call("rsms", {item.measure: item}, **options)
            return self._call("rsm", item, **options)
        if isinstance(item, Comparison):
            return self._call("comparison", item, **options)
        if isinstance(item, str) or callable(item):
            return self._call("similarity", resolve_similarity(item), **options)
        rsms = _same_inputs(_named(item), align)
        if self.rsms is not None:
            return self._call("rsms", rsms, **options)
        objects = {name: self._call("rsm", rsm, **options) for name, rsm in rsms.items()}
        return objects if isinstance(item, Mapping) else list(objects.values())

    def read(self, source: Any, **options: Any) -> Any:
        """Return an object or a file of the tool as RSMs or activations; see `from_tool`."""
        return self._call("reader", source, **options)

    def register(self) -> list[str]:
        """Register our similarities of networks with the tool, in this process, and return their names there.

        Raises
        ------
        ImportError
            If the tool is not installed.
        TypeError
            If the tool has no registry.
        """
        return list(self._call("registry"))

    def run(self, arguments: Sequence[str]) -> None:
        """Run the tool's command line, with our similarities of networks registered.

        Raises
        ------
        ImportError
            If the tool is not installed.
        TypeError
            If the adapter does not run the tool's command line.
        """
        self._call("command", list(arguments))

    def _call(self, capability: str, *arguments: Any, **options: Any) -> Any:
        """Call a conversion, after checking that it exists, has these options, and finds the tool."""
        function = getattr(self, capability)
        if function is None:
            raise TypeError(
                f"the adapter of {self.tool} has no {capability!r}; it has "
                f"{', '.join(map(repr, self.capabilities())) or 'nothing'}"
            )
        self._check_options(capability, function, len(arguments), options)
        if not (available := self.available()):
            raise ImportError(str(available))
        with self._importing():
            return function(*arguments, **options)

    def _check_options(
        self, capability: str, function: Callable[..., Any], positional: int, options: Mapping[str, Any]
    ) -> None:
        """Raise a TypeError for unknown options, naming the nearest, and for missing ones."""
        parameters = [*inspect.signature(function).parameters.values()]
        takes = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        if takes < positional and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            raise TypeError(f"the adapter of {self.tool}: {capability} must be a function of what it converts")
        parameters = parameters[positional:]
        names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        listed = f"its options: {', '.join(names) or 'none'}"
        where = f"the adapter of {self.tool}, {capability}"
        for option in options:
            if option not in names and not any(p.kind is p.VAR_KEYWORD for p in parameters):
                nearest = get_close_matches(option, names, 1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
                raise TypeError(f"{where}: no option {option!r} ({listed}){hint}")
        for parameter in parameters:
            if parameter.name in names and parameter.default is parameter.empty and parameter.name not in options:
                raise TypeError(f"{where}: the option {parameter.name!r} is required ({listed})")

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Explain an ImportError of a tool that is installed."""
        try:
            yield
        except ImportError as error:
            raise ImportError(
                f"{self.tool} is installed but could not be imported ({error}): {self.install}"
            ) from error


def adapter(tool: str | Adapter) -> Adapter:
    """Return the adapter of a tool, which need not be installed.

    Parameters
    ----------
    tool : str or Adapter
        A plugin of the group ``simplugins.adapters``, such as "rsatoolbox"; ``simplugins plugins`` lists them. An
        adapter is returned as it is.

    Returns
    -------
    Adapter

    Raises
    ------
    ValueError
        If no plugin has that name; the error suggests the nearest names.
    PluginError
        If the plugin cannot be loaded, or is not an adapter.

    Examples
    --------
    >>> adapter("scikit-learn").install
    "pip install 'simplugins[scikit-learn]'"
    """
    plugin = plugins.load(GROUP, tool) if isinstance(tool, str) else tool
    if isinstance(plugin, Adapter):
        return plugin
    if isinstance(tool, str):
        raise plugins.PluginError(
            f"plugin {tool!r} of {GROUP} must be a simplugins.Adapter, but is a {type(plugin).__name__}"
        )
    raise TypeError(f"tool must be the name of an adapter or a simplugins.Adapter, got {type(tool).__name__}")


def to_tool(tool: str | Adapter, item: Any, *, align: bool = False, **options: Any) -> Any:
    """Return RSMs, a comparison of layers, or a similarity of networks as an object of another tool.

    Parameters
    ----------
    tool : str or Adapter
        As for `adapter`.
    item : RSM, mapping of str to RSM, sequence of RSM, Comparison, or similarity
        Several RSMs, such as those of a network's layers, must have the same inputs in the same order: their labels are
        compared, because most tools would not notice. A similarity of networks is a `NetworkSimilarity`, the name of a
        plugin of the group ``simplugins.similarities``, or any callable that compares the activations of two networks.
    align : bool, default False
        Reorder several RSMs by label so that their inputs are in the order of the first; otherwise a different order
        is an error.
    **options
        Options of the conversion, listed on the tool's page in docs/tools.

    Returns
    -------
    object
        An object of the tool. Several RSMs become one object where the tool has a type for that, otherwise a dict or a
        list.

    Raises
    ------
    ValueError
        If no adapter has that name, RSMs have different inputs, or the tool cannot represent them, for example an RSM
        that compares inputs with other inputs.
    TypeError
        If the adapter does not convert such an item, or has no such option; the error suggests the nearest one.
    ImportError
        If the tool is not installed; the error says what to install.

    Examples
    --------
    >>> import numpy as np
    >>> early, late = (RSM.from_similarities(values, labels=list("abc")) for values in (np.eye(3), np.ones((3, 3))))
    >>> to_tool("xarray", {"early": early, "late": late}).dims
    ('layer', 'stimulus_i', 'stimulus_j')
    """
    return adapter(tool).to(item, align=align, **options)


def from_tool(tool: str | Adapter, source: Any, **options: Any) -> Any:
    """Return an object or a file of another tool as an RSM, as RSMs by name, or as activations by layer.

    Parameters
    ----------
    tool : str or Adapter
        As for `adapter`.
    source : object or path
        See the tool's page in docs/tools.
    **options
        Options of the conversion, listed on the same page.

    Returns
    -------
    RSM, dict of str to RSM, or dict of str to array

    Raises
    ------
    ValueError
        If no adapter has that name, or the source cannot be read as an RSM.
    TypeError
        If the adapter reads nothing, or has no such option; the error suggests the nearest one.
    ImportError
        If the tool is not installed; the error says what to install.

    Examples
    --------
    >>> import numpy as np
    >>> rsm = RSM.from_similarities(np.eye(3), labels=list("abc"))
    >>> from_tool("xarray", to_tool("xarray", rsm)).labels
    array(['a', 'b', 'c'], dtype='<U1')
    """
    return adapter(tool).read(source, **options)


def _is_installed(module: str) -> bool:
    """Return whether a module can be found, importing only its parents. A plain folder of that name does not count."""
    try:
        spec = find_spec(module)
        return spec is not None and spec.origin is not None
    except (ImportError, ValueError):
        return module in sys.modules


def _named(items: Any) -> dict[str, RSM]:
    """Return several RSMs by name; those of a sequence are numbered."""
    if isinstance(items, Mapping):
        rsms = {str(name): rsm for name, rsm in items.items()}
        if len(rsms) < len(items):
            raise ValueError(f"RSMs must have different names, also as text, got {', '.join(map(repr, items))}")
    elif isinstance(items, Sequence):
        rsms = {f"RSM {position}": rsm for position, rsm in enumerate(items)}
    else:
        rsms = {}
    for name, rsm in rsms.items():
        if not isinstance(rsm, RSM):
            raise TypeError(f"{name}: expected an RSM, got {type(rsm).__name__}")
    if not rsms:
        raise TypeError(
            f"expected an RSM, a mapping or sequence of RSMs, a comparison, or a similarity of networks; got "
            f"{'an empty ' if isinstance(items, Mapping | Sequence) else ''}{type(items).__name__}"
        )
    return rsms


def _same_inputs(rsms: dict[str, RSM], align: bool) -> dict[str, RSM]:
    """Return RSMs that have the same inputs in the same order, or raise a ValueError."""
    first = next((name for name, rsm in rsms.items() if rsm.labels is not None), next(iter(rsms)))
    return {name: _like(first, rsms[first], name, rsm, align) for name, rsm in rsms.items()}


def _like(first: str, reference: RSM, name: str, rsm: RSM, align: bool) -> RSM:
    """Return an RSM with its inputs in the order of the reference."""
    for key, candidate in ((first, reference), (name, rsm)):
        if not candidate.symmetric:
            rows, columns = candidate.shape
            raise ValueError(
                f"{key}: several RSMs must each compare the same inputs with themselves; this one compares {rows} "
                f"inputs with {columns} other inputs"
            )
    if len(rsm) != len(reference):
        raise ValueError(f"RSMs must have the same inputs: {first} has {len(reference)}, {name} has {len(rsm)}")
    if reference.labels is None or rsm.labels is None:
        if align:
            raise ValueError(f"align=True needs labels, and {first if reference.labels is None else name} has none")
        return rsm
    try:
        reordered = rsm.in_order(reference.labels)
    except ValueError as error:
        raise ValueError(f"labels of {name} differ from those of {first}: {error}") from None
    if reordered is rsm:
        return rsm
    if not align:
        i = next(
            i for i, pair in enumerate(zip(reference.labels, rsm.labels, strict=True)) if len({*map(str, pair)}) > 1
        )
        raise ValueError(
            f"labels differ: input {i} is {reference.labels[i]!r} in {first} and {rsm.labels[i]!r} in {name}, which "
            f"has the same labels in another order; align=True reorders it"
        )
    return reordered

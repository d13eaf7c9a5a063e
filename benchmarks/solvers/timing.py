# SPDX-License-Identifier: Apache-2.0
"""Times of solvers on the same problems, in turns: ours, SciPy, lapx, ours with rows and columns exchanged, and so on.

Every solver runs on one thread. Times are those of the processor, which leave out other processes, and the shortest
over turns, since other work on the machine only adds to them. Solvers that would take longer than a limit, by a problem
of a quarter of the size and growth like S^3, are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers import competing
from solvers.competing import LAPX, OURS, POT, SCIPY, Columns, Problems, Solve
from solvers.families import FAMILIES

EXACT = {"float32": 2.0**-20, "float64": 2.0**-44}
"""Largest shortfall from the best value of any solver, relative to the magnitude of the matched affinities."""

LEAST_SECONDS = 0.004
"""A turn repeats short calls for at least this long."""

ONCE = 0.5
"""A call of at least this many seconds is not repeated."""

PROBED = 1000
"""Minimum size at which the time is predicted from a smaller problem."""

POT_SIZE = 200
"""Maximum size for POT, whose network simplex is slower than the others by more than ten there."""


@dataclass(frozen=True)
class Budget:
    """How long a cell may take.

    Attributes
    ----------
    elements : int
        Number of affinities of all problems of a cell.
    turns : int
        Largest number of turns.
    seconds : float
        No further turn starts after this many seconds.
    limit : float
        Predicted seconds per problem beyond which a solver is skipped.
    """

    elements: int = 1_200_000
    turns: int = 7
    seconds: float = 1.5
    limit: float = 4.0


SINGLE = Budget(elements=400_000, turns=5, seconds=0.3, limit=1.0)


@dataclass
class Entry:
    """One solver on the problems in one orientation."""

    solve: Solve
    problems: Problems
    routine: str = ""
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)

    def run(self) -> Columns:
        """Solve all problems, record the seconds of one call, and return the columns."""
        start = process_time()
        for _ in range(self.repeats):
            columns = self.solve(self.problems)
        self.seconds.append((process_time() - start) / self.repeats)
        return columns


def measure(key: str, rows: int, cols: int, dtype: str, budget: Budget, seed: int = 0) -> dict[str, Any]:
    """Measure one cell of the table.

    Parameters
    ----------
    key : str
        A family.
    rows, cols : int
    dtype : str
        Float32 or float64.
    budget : Budget
    seed : int, default 0

    Returns
    -------
    dict
        ``ms`` per problem, ``ratios`` of the peers' times to ours, ``faster`` (the ratio of the faster one of SciPy and
        lapx) and ``shortfall``, each for both orientations; ``exchanged``, the ratio of our times.

    Raises
    ------
    UnavailableError
        If the family cannot be generated.
    """
    count = int(np.clip(budget.elements // (rows * cols), 1, 200))
    problems = FAMILIES[key].problems(rows, cols, count, np.dtype(dtype).type, seed)
    both = [problems]
    both.append(np.ascontiguousarray(problems.transpose(0, 2, 1)))
    skipped, routine = _probe(key, rows, cols, dtype, budget, seed)
    ways = [_entries(problems, skipped, routine) for problems in both]
    best = [_warm_up(entries, dtype) for entries in ways]
    _take_turns(ways, budget)
    results = [_summarise(entries) for entries in ways]
    return {
        "family": key,
        "rows": rows,
        "cols": cols,
        "dtype": dtype,
        "problems": count,
        "ways": [{**result, **values} for result, values in zip(results, best, strict=True)],
        "exchanged": _ratio(ways[1], ways[0], OURS, OURS),
        "skipped": skipped,
        "counts": None if OURS in skipped else [competing.count_work(problems) for problems in both],
    }


def _entries(problems: Problems, skipped: dict[str, float], routine: str | None) -> dict[str, Entry]:
    entries = {OURS: Entry(competing.ours, problems)}
    entries[SCIPY] = Entry(competing.scipy, problems)
    lapx = routine or _fastest_lapx(-problems)[0]
    entries[LAPX] = Entry(competing.LAPX_ROUTINES[lapx], -problems, lapx)
    if competing.has_pot() and problems.shape[1] == problems.shape[2] <= POT_SIZE:
        some = max(1, len(problems) // 10)
        entries[POT] = Entry(competing.pot, -problems[:some])
    return {name: entry for name, entry in entries.items() if name not in skipped}


def _fastest_lapx(negated: Problems) -> tuple[str, float]:
    """Return the fastest of lapx's routines that reach the best value on some of the problems, and its seconds."""
    some = negated[: max(1, len(negated) // 4)]
    times, reached = {}, {}
    for name, solve in competing.LAPX_ROUTINES.items():
        entry = Entry(solve, some)
        reached[name] = competing.values(some, entry.run())
        if entry.seconds[0] < 0.1:
            entry.run()
        times[name] = min(entry.seconds)
    least = np.min([value for value, _ in reached.values()], axis=0)
    exact = [
        name for name, (value, size) in reached.items() if (value - least <= EXACT[str(negated.dtype)] * size).all()
    ]
    name = min(exact, key=lambda routine: times[routine])
    return name, times[name]


def _probe(
    key: str, rows: int, cols: int, dtype: str, budget: Budget, seed: int
) -> tuple[dict[str, float], str | None]:
    """Solve a smaller problem of a family if the problems are large.

    Returns the predicted seconds per problem of the solvers that would take longer than the limit, and the fastest one
    of lapx's routines; for small problems, nothing is skipped, and the routine is None.
    """
    if max(rows, cols) < PROBED:
        return {}, None
    problem = FAMILIES[key].problems(rows // 4, cols // 4, 1, np.dtype(dtype).type, seed)
    seconds = {}
    for name, solve in {OURS: competing.ours, SCIPY: competing.scipy}.items():
        entry = Entry(solve, problem)
        entry.run()
        entry.run()
        seconds[name] = min(entry.seconds)
    routine, seconds[LAPX] = _fastest_lapx(-problem)
    return {name: 64 * time for name, time in seconds.items() if 64 * time > budget.limit}, routine


def _warm_up(entries: dict[str, Entry], dtype: str) -> dict[str, Any]:
    """Run every solver once, set its repeats, and return how far each falls short of the best value."""
    reached = {}
    for name, entry in entries.items():
        sign = -1 if name in (LAPX, POT) else 1
        value, size = competing.values(entry.problems, entry.run())
        if name == OURS:
            entry.seconds.clear()  # the first call may compile
            entry.run()
        reached[name] = sign * value, size
        if entry.seconds[0] < ONCE:
            entry.repeats = int(np.clip(LEAST_SECONDS / entry.seconds[0], 1, 50))
            entry.seconds.clear()
    shortfall = {name: _shortfall(name, reached) for name in reached}
    return {"shortfall": shortfall, "exact": shortfall.get(OURS, 0.0) <= EXACT[dtype]}


def _shortfall(name: str, reached: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    value, size = reached[name]
    best = np.max([other[: len(value)] for other, _ in reached.values() if len(other) >= len(value)], axis=0)
    return float(np.max((best - value) / np.where(size > 0, size, 1)))


def _take_turns(ways: list[dict[str, Entry]], budget: Budget) -> None:
    start = perf_counter()
    for _ in range(budget.turns):
        for entries in ways:
            for entry in entries.values():
                if not entry.seconds or entry.seconds[0] < ONCE:
                    entry.run()
        if perf_counter() - start > budget.seconds:
            return


def _summarise(entries: dict[str, Entry]) -> dict[str, Any]:
    ratios = {name: _ratio(entries, entries, name, OURS) for name in entries if name != OURS}
    peers = [ratio for name, ratio in ratios.items() if name != POT and ratio is not None]
    return {
        "ms": {name: 1e3 * min(entry.seconds) / len(entry.problems) for name, entry in entries.items()},
        "ratios": ratios,
        "faster": min(peers) if peers else None,
        "lapx": entries[LAPX].routine if LAPX in entries else None,
    }


def _ratio(above: dict[str, Entry], below: dict[str, Entry], name: str, other: str) -> float | None:
    """Return the ratio of the shortest times per problem of two solvers; None if one of them was skipped."""
    if name not in above or other not in below:
        return None
    first, second = above[name], below[other]
    return (min(first.seconds) / len(first.problems)) / (min(second.seconds) / len(second.problems))

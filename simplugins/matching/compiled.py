# SPDX-License-Identifier: Apache-2.0
"""How the kernels are compiled, decided in one place.

``nogil`` lets the engine's threads run kernels side by side. ``cache`` keeps the machine code on disk, beside
the package or in the user's cache folder, so only the first call after installation pays for compilation.
Fast-math stays off: the kernels search in integers, where the order of additions does not matter.
"""

from __future__ import annotations

from typing import Any

import numba

kernel: Any = numba.njit(nogil=True, cache=True)

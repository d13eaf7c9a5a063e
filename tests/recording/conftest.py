# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from importlib.util import find_spec

collect_ignore = []
if not all(find_spec(name) for name in ("timm", "transformers", "all_minilm_l6_v2")):
    collect_ignore.append("architectures")  # run.sh creates an environment for them

# SPDX-License-Identifier: Apache-2.0
"""A double of similarity-repository: its registry, and one measure that is in it from the start."""

from . import registry
from .registration import all_measures, make, match, register, wrap_measure

__all__ = ["all_measures", "make", "match", "register", "registry", "wrap_measure"]

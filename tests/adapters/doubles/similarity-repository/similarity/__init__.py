# SPDX-License-Identifier: Apache-2.0
"""A double of similarity-repository: its registry with one measure."""

from . import registry
from .registration import all_measures, make, match, register, wrap_measure

__all__ = ["all_measures", "make", "match", "register", "registry", "wrap_measure"]

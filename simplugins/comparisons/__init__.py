# SPDX-License-Identifier: Apache-2.0
"""Comparisons: two RSMs of the same inputs to a number.

`comparing` compares RSMs by a method's name, and `contract` says what a method is: it makes a vector of each matrix,
and relates vectors. One file a family of methods: `cka`, `rsa`, `kendall` (on the kernel of `concordance`) and
`norm_difference`. Below them: `inputs` checks matrices, `pairs` makes vectors of them, `permuting` permutes these, and
`all_pairs` compares many.
"""

from simplugins.comparisons.cka import minibatch_cka
from simplugins.comparisons.comparing import compare, pairwise, resolve_method
from simplugins.comparisons.contract import Method

__all__ = ["Method", "compare", "minibatch_cka", "pairwise", "resolve_method"]

# SPDX-License-Identifier: Apache-2.0
"""Comparisons: two RSMs of the same inputs to a number.

`comparing` compares RSMs by a method's name, and `contract` says what a method is: it makes a vector of each matrix,
and relates vectors. One file a family of methods: `cka`, `rsa`, `kendall` (on the kernel of `concordance`) and
`norm_difference`. `minibatches` estimates CKA where all pairs of inputs are too many. Below them: `inputs` checks
matrices, `pairs` makes vectors of them, `permuting` permutes these, and `all_pairs` compares many.
"""

from simplugins.comparisons.comparing import compare, pairwise, resolve_method
from simplugins.comparisons.contract import Method
from simplugins.comparisons.minibatches import CkaEstimate, estimate_cka, minibatch_cka

__all__ = ["CkaEstimate", "Method", "compare", "estimate_cka", "minibatch_cka", "pairwise", "resolve_method"]

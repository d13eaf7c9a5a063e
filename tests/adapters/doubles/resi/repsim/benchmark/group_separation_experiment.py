# SPDX-License-Identifier: Apache-2.0
import logging

import numpy as np

logger = logging.getLogger(__name__)


def compare_single_measure(rep_a, rep_b, measure, shape):
    """Compare two representations; errors are logged, and the result is NaN."""
    try:
        value = measure(rep_a, rep_b, shape)
    except Exception as error:
        logger.error("%s: %s", measure.name, error)
        value = np.nan
    return {"metric": measure, "metric_value": value, "runtime": np.nan}

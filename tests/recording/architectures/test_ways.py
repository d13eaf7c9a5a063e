# SPDX-License-Identifier: Apache-2.0
"""Any two ways of recording a model give the same sets and similarities, in all layers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import small_models
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_layouts import LAYOUTS, expected_sets, masks_for
from ways import assert_same, order_of, recorded, ways

N = 6
EXAMPLES = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def more_inputs(inputs):
    """Six inputs: the three and, in reverse order, three others with the same padding."""
    return {name: torch.cat([values, changed(name, values).flip(0)]) for name, values in inputs.items()}


def changed(name, values):
    """Other inputs: images and signals with another sign and scale, texts with other tokens in the middle."""
    if name == "input_ids":
        return torch.where(values >= 10, 10 + (values * 7) % 40, values)
    return -0.5 * values.roll(1, -1) * (values != 0) if values.is_floating_point() else values


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=5, **EXAMPLES)
@given(data=st.data())
def test_two_ways_of_recording_a_model_are_the_same(name, data):
    model, inputs = small_models.build(getattr(small_models, name))
    inputs = more_inputs(inputs)
    expected = expected_sets(name, model, inputs)
    is_labelled = data.draw(st.booleans())
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            way = data.draw(ways(inputs, labelled=is_labelled, stated=False))
            result = recorded(model, inputs, dict.fromkeys(expected, "auto"), way, Path(folder) / str(number))
            assert result
            assert set(result) <= set(expected)
            if way.layers != "default":
                assert set(result) == set(expected)
            for layer, x in result.items():
                masks = masks_for(name, model, layer, expected[layer].shape[1], inputs)
                order = order_of(x.labels, N)
                vectors = list(x.sets())
                for place, array, mask in zip(
                    order, expected[layer], [None] * N if masks is None else np.asarray(masks), strict=True
                ):
                    by_hand_set = array if mask is None else array[mask]
                    np.testing.assert_allclose(vectors[place], by_hand_set, rtol=1e-4, atol=1e-4, err_msg=layer)
            results.append(result)
        assert_same(*results, align=is_labelled, tolerance=1e-4)

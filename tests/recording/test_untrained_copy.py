# SPDX-License-Identifier: Apache-2.0
"""Untrained copies of models, against models that Torch has just created, and as a yardstick of similarity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import simplugins
from simplugins.recording import record, untrained


def network(channels=16):
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
    )


def trained(model):
    """Return a model with parameters and statistics that no initialisation has."""
    with torch.no_grad():
        for values in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            values.fill_(7.0)
    return model


class WithToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(4))
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(x + self.token)


def test_all_parameters_and_statistics_are_drawn_anew():
    model = trained(network()).eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    copy = untrained(model)
    assert not copy.training
    assert all((p == 7).all() for p in model.parameters())
    assert not any((p == 7).any() for p in copy.parameters())
    assert (copy[1].running_mean == 0).all()
    assert (copy[1].running_var == 1).all()
    assert copy[0].weight.grad is None


def test_parameters_are_those_of_a_new_model():
    model = trained(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    copy = untrained(model)
    new = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for (name, parameter), fresh in zip(copy.named_parameters(), new.parameters(), strict=True):
        drawn, expected = (values.detach().abs().max().item() for values in (parameter, fresh))
        assert drawn == pytest.approx(expected, rel=0.35), name  # 0 and 1 where Torch's are


def test_the_seed_determines_the_parameters_and_no_generator_changes():
    model = network()
    state = torch.get_rng_state()
    first, same, other = (untrained(model, seed=seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_parameters_that_cannot_be_drawn_anew_are_named():
    with pytest.raises(ValueError, match=r"token \(WithToken\)") as error:
        untrained(nn.Sequential(WithToken()))
    assert "linear" not in str(error.value)
    with pytest.raises(ValueError, match=r"weight\.original0 \("):
        untrained(nn.Sequential(weight_norm(nn.Linear(3, 2))))


@pytest.mark.parametrize("write", [lambda p: nn.init.zeros_(p), lambda p: p.data.fill_(0.5)])
def test_other_modules_are_reset_by_a_function(write):
    copy = untrained(WithToken(), reset=lambda module: write(module.token))
    assert (copy.token < 1).all()


def test_tied_parameters_stay_tied():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    copy = untrained(trained(model))
    assert copy["head"].weight is copy["embed"].weight
    assert not (copy["head"].weight == 7).any()


def test_parameters_on_several_devices_are_an_error():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta"))
    with pytest.raises(ValueError, match="cpu, meta"):
        untrained(model)


def test_untrained_networks_are_similar_on_photographs_and_a_yardstick_shows_it(photos):
    images = torch.as_tensor(photos["thumbnails"].transpose(0, 3, 1, 2).astype(np.float32) / 255)[:, :, ::4, ::4]
    names = ["1", "3", "5"]
    first, second, third = (record(untrained(network(), seed=seed).eval(), images, names) for seed in range(3))
    for method in ("cka", "cka-debiased"):
        table = simplugins.compare_layers(first, second, method, yardsticks={"untrained": third}, calibrate="max")
        assert (table.values > 0.6).all()
        assert table.calibration.significant.all()  # the inputs are the same, so chance is not all there is
        assert (table.yardsticks["untrained"] > 0.6).all()


def test_only_models_have_untrained_copies():
    with pytest.raises(TypeError, match=r"model.*int"):
        untrained(3)

# SPDX-License-Identifier: Apache-2.0
"""Models that change the order of inputs, let inputs of a batch influence each other, or draw random numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from simplugins import record

N = 6
torch.manual_seed(0)
TOKENS, MAPS = torch.randn(N, 4, 5), torch.randn(N, 3, 4, 4)
LINEAR = nn.Linear(5, 8)


class Calls(nn.Module):
    """Calls a function with its parts and the inputs; `out` has the result."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts, self.function, self.out = nn.ModuleList(parts), function, nn.Identity()

    def forward(self, x):
        return self.out(self.function(*self.parts, x))


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def order(x):
    return x[:, 0, 0].argsort()


def copied(x, parts):
    result = torch.zeros(len(x), 4, 8)
    for target, source in parts:
        result[target].copy_(LINEAR(x[source]))
    return result


MOVED = {
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "index": lambda x: x[list(range(len(x)))[::-1]],
    "index_select": lambda x: x.index_select(0, torch.arange(len(x)).flip(0)),
    "random order": lambda x: x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))],
    "sorted by the inputs": lambda x: x[order(x)],
    "already sorted": lambda x: x[(0 * x[:, 0, 0]).argsort(stable=True)],
    "parts exchanged": lambda x: torch.cat([x[2:], x[:2]]),
    "even before odd": lambda x: torch.cat([x[::2], x[1::2]]),
    "axes of the batch exchanged": lambda x: x.view(2, 3, *x.shape[1:]).transpose(0, 1).flatten(0, 1),
    "written elsewhere": lambda x: copied(x, [(slice(0, 2), slice(4, 6)), (slice(2, 6), slice(0, 4))]),
    "values sorted": lambda x: x.sort(0)[0],
    "best": lambda x: x.topk(len(x), 0)[0],
    "gather": lambda x: x.gather(0, torch.zeros_like(x, dtype=torch.long)),
    "mixture": lambda x: x + x.flip(0),
}


@pytest.mark.parametrize("function", MOVED.values(), ids=MOVED)
def test_inputs_in_another_order_are_an_error(function):
    model = Calls(
        lambda linear, x: functional.relu(function(x)) if function(x).shape[-1] == 8 else linear(function(x)), LINEAR
    )
    with pytest.raises(ValueError, match=rf"'out' returned shape \({N}, 4, 8\), in which the .*inputs are"):
        record(model, TOKENS, "out")


KEPT = {
    "flip back": lambda x: LINEAR(x.flip(0)).flip(0),
    "sorted and back": lambda x: LINEAR(x[order(x)])[order(x).argsort()],
    "parts": lambda x: torch.cat([LINEAR(part) for part in x.split(2)]),
    "one by one": lambda x: torch.stack([LINEAR(each) for each in x]),
    "axes of the batch": lambda x: LINEAR(x.view(2, -1, 4, 5) if len(x) == N else x[None]).flatten(0, 1),
    "twice": lambda x: LINEAR(torch.cat([x.flip(0), x])).chunk(2)[1],
    "written in parts": lambda x: copied(x, [(slice(0, 2), slice(0, 2)), (slice(2, None), slice(2, None))]),
    "counting up": lambda x: LINEAR(x[torch.arange(len(x))]),
    "tokens flipped": lambda x: LINEAR(x.flip(1)).flip(1),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("size", [N, 4, 1])
def test_inputs_brought_back_into_order_are_recorded(function, size):
    recorded = record(Calls(function), TOKENS, "out", layout={"out": "ntc"}, batch_size=size)["out"]
    with torch.no_grad():
        np.testing.assert_allclose(recorded, LINEAR(TOKENS), atol=1e-6)


class Packed(nn.Module):
    """A recurrent model of packed sequences, which are sorted by length."""

    def __init__(self, batch_first):
        super().__init__()
        self.lstm, self.out, self.axes = nn.LSTM(5, 8, batch_first=batch_first), nn.Identity(), (0, 1, 2)
        self.axes = (0, 1, 2) if batch_first else (1, 0, 2)

    def forward(self, x, lengths):
        options = {"batch_first": self.lstm.batch_first}
        packed = pack_padded_sequence(x.permute(self.axes), lengths, enforce_sorted=False, **options)
        return self.out(pad_packed_sequence(self.lstm(packed)[0], **options)[0].permute(self.axes))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("size", [N, 4])
def test_packed_sequences_are_recorded_in_the_order_of_inputs(batch_first, size):
    model, lengths = Packed(batch_first).eval(), torch.tensor([2, 4, 1, 3, 4, 2])
    inputs, mask = {"x": TOKENS, "lengths": lengths}, torch.arange(4) < lengths[:, None]
    recorded = record(model, inputs, "out", mask=mask, layout="ntc", batch_size=size)["out"]
    with torch.no_grad():
        for vectors, x, length in zip(recorded.sets(), TOKENS, lengths, strict=True):
            alone = model.lstm(x[None, :length].permute(model.axes))[0].permute(model.axes)
            np.testing.assert_allclose(vectors, alone[0], atol=1e-6)
    with pytest.warns(UserWarning, match=r"padding counts as positions \(see mask\): out"):
        record(model, inputs, "out", layout="ntc")
    with pytest.raises(ValueError, match="pass its layout if axis 0 holds the inputs"):
        record(model, inputs, "out")


MIXED = {
    "mean": lambda x: x - x.mean(0, keepdim=True),
    "mean of all tokens": lambda x: x - x.flatten(0, 1).mean(0),
    "largest value": lambda x: x / x.abs().max(),
    "largest of each": lambda x: x / x.amax(0),
    "deviation": lambda x: x / x.std(),
    "softmax": lambda x: x.softmax(0),
    "cumulative": lambda x: x.cumsum(0),
    "product": lambda x: ((x.flatten(1) @ x.flatten(1).T) @ x.flatten(1)).view_as(x),
    "attention": lambda x: functional.scaled_dot_product_attention(*[x.transpose(0, 1)] * 3).transpose(0, 1),
    "layer normalisation": lambda x: functional.layer_norm(x.transpose(0, 2), (4, len(x))).transpose(0, 2),
    "batch normalisation": lambda x: functional.batch_norm(x, None, None, training=True),
    "written into": lambda x: x.clone().sub_(x.mean(0)),
    "written into a part": lambda x: x.clone().index_fill_(1, torch.tensor([0]), 0).add_(x.mean(0)),
}


@pytest.mark.parametrize("function", MIXED.values(), ids=MIXED)
def test_layers_that_depend_on_their_batch_are_recorded_in_one_batch_only(function):
    model = Calls(lambda linear, x: linear(function(x)), LINEAR)
    with pytest.warns(UserWarning, match="depend on which inputs share a batch: out"):
        recorded = record(model, TOKENS, "out", layout={"out": "ntc"})["out"]
    with torch.no_grad():
        np.testing.assert_allclose(recorded, LINEAR(function(TOKENS)), atol=1e-5)
    for size in (3, 1):
        with pytest.raises(ValueError, match=r"share a batch.*: out \(by .*batch_size"):
            record(model, TOKENS, "out", layout={"out": "ntc"}, batch_size=size)


SEPARATE = {
    "own mean": lambda x: x - x.mean((1, 2), keepdim=True),
    "own softmax": lambda x: x.softmax(1),
    "instance normalisation": lambda x: functional.instance_norm(x),
    "group normalisation": lambda x: functional.group_norm(x, 2),
    "own product": lambda x: x @ x.mT @ x,
    "larger of two": lambda x: torch.maximum(x, x.flip(1)),
    "flag": lambda x: torch.where(x.isinf().any(), 2 * x, x),
    "no dropout": lambda x: functional.dropout(x, training=False),
    "mean of views": lambda x: x.repeat_interleave(3, 0).view(len(x), 3, *x.shape[1:]).mean(1),
}


@pytest.mark.parametrize("function", SEPARATE.values(), ids=SEPARATE)
def test_layers_that_depend_on_their_input_alone_are_recorded_in_batches(function):
    model = Calls(lambda linear, x: linear(function(x)), LINEAR)
    for size in (N, 4, 1):
        recorded = record(model, TOKENS, "out", layout={"out": "ntc"}, batch_size=size)["out"]
        with torch.no_grad():
            np.testing.assert_allclose(recorded, LINEAR(function(TOKENS)), atol=1e-5)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda x: x + torch.randn_like(x), "randn_like"),
        (lambda x: x + torch.randn(x.shape), "randn"),
        (lambda x: x + torch.empty(x.shape).uniform_(), "uniform"),
        (lambda x: functional.dropout(x), "bernoulli"),
        (lambda x: functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5), ".*"),
        (lambda x: torch.distributions.Normal(x, 1.0).sample(), "normal"),
        (lambda x: functional.gumbel_softmax(x), "exponential"),
    ],
)
def test_random_numbers_are_noticed(function, operation):
    model = Calls(lambda linear, x: linear(function(linear(x)[..., :5])), LINEAR)
    with pytest.warns(UserWarning, match=rf"random numbers.*, out \(by {operation}\)"):
        recorded = record(model, TOKENS, ["parts.0", "out"], batch_size=3)
    assert list(recorded) == ["parts.0#0", "parts.0#1", "out"]


def test_attention_over_inputs_is_noticed_in_parts_of_a_block():
    block = nn.TransformerEncoderLayer(8, 2, 12)  # takes tokens first, and gets inputs first
    model = nn.Sequential(LINEAR, block, nn.ReLU()).eval()
    assert list(record(model, TOKENS, "0", batch_size=2)) == ["0"]
    with pytest.raises(ValueError, match=r"share a batch.*1\.linear1 \(by .*, 2 \(by"):
        record(model, TOKENS, ["1.linear1", "2"], batch_size=2)


def test_batch_normalisation_without_statistics_is_noticed():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU())
    with pytest.raises(ValueError, match=r"1 \(by .*batch_norm"):
        record(model, MAPS, batch_size=2)
    assert list(record(model, MAPS, "0", batch_size=2)) == ["0"]


def test_weights_without_values_are_an_error():
    with pytest.raises(ValueError, match=r"meta device.*to_empty"):
        record(nn.Sequential(nn.Conv2d(3, 4, 1)).to("meta"), MAPS)
    with pytest.raises(ValueError, match=r"'input' is on the meta device"):
        record(nn.Sequential(nn.Conv2d(3, 4, 1)), MAPS.to("meta"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("compile_model", [torch.jit.script, lambda model: torch.jit.trace(model, MAPS)])
def test_scripted_models_say_so(compile_model):
    model = compile_model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval())
    with pytest.raises(ValueError, match=r"layer '0' did not run .*scripted"):
        record(model, MAPS)


def test_similar_tokens_of_the_first_batch_are_no_matter_of_precision():
    recorded = record(
        nn.Sequential(nn.Identity()),
        1 + 1e-7 * TOKENS[:1].expand(3, -1, -1) + torch.eye(3)[:, :1, None],
        layout="ntc",
        batch_size=1,
    )
    assert recorded["0"].shape == (3, 4, 5)

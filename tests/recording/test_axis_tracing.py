# SPDX-License-Identifier: Apache-2.0
"""Tracing of axes: through operations, without an effect on the model, its results or its memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from simplugins.recording import axis_tracing, record
from simplugins.recording.axes import kind_of, special_of
from simplugins.recording.axis_tracing import AxisTracing

N, T, C = 4, 6, 8


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def traced(function, x, *parameters):
    """Return the kinds of the axes of what a function returns, and its special tokens."""
    tracing = AxisTracing(parameters)
    tracing.start([x], len(x))
    with torch.no_grad(), tracing:
        output = function(x, *parameters)
    axes = tracing.find(output)
    if not isinstance(axes, tuple):
        return axes
    special = [special_of(each) for each in axes]
    known = [np.flatnonzero(each).tolist() for each in special if each is not None]
    return " ".join(kind_of(each, resolve=True) or "1" for each in axes), *known


TOKENS, WEIGHT = torch.randn(N, T, 5), torch.randn(C, 5)
TOKEN = nn.Parameter(torch.randn(1, 1, C))


def channels(function):
    """Apply a function to (n, t, c)."""
    return lambda x, weight: function(functional.linear(x, weight))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x, "n ? c"),
        (lambda x: x.transpose(0, 1), "? n c"),
        (lambda x: x.permute(2, 1, 0), "c ? n"),
        (lambda x: x.movedim(0, -1), "? c n"),
        (lambda x: x.mT, "n c ?"),
        (lambda x: x[:, None], "n 1 ? c"),
        (lambda x: x.reshape(N, 2, 3, C), "n ? ? c"),
        (lambda x: x.reshape(N * T, C).view(N, T, C), "n ? c"),
        (lambda x: x.reshape(N * T, C), "x c"),
        (lambda x: x.flatten(1), "n c"),
        (lambda x: x.reshape(N, T, 2, 4).transpose(1, 2).transpose(1, 2).flatten(2), "n ? c"),
        (lambda x: x.reshape(N, T, 2, 4).permute(0, 2, 1, 3).reshape(N * 2, T, 4), "x ? c"),
        (lambda x: x.mean(1), "n c"),
        (lambda x: x.mean(2), "n ?"),
        (lambda x: x.amax(1, keepdim=True), "n 1 c"),
        (lambda x: x.max(1).values, "n c"),
        (lambda x: x.var(0), "? c"),
        (lambda x: x.sum(), ""),
        (lambda x: x[:, 2], "n c"),
        (lambda x: x[:, 1:5:2], "n ? c"),
        (lambda x: x[1:3], "n ? c"),
        (lambda x: x[:, torch.tensor([3, 1])], "n ? c"),
        (lambda x: x[torch.arange(N), x.sum(2).argmax(1)], "n c"),
        (lambda x: torch.stack(x.unbind(1), 2), "n c ?"),
        (lambda x: torch.stack([x, x]), "? n ? c"),
        (lambda x: torch.cat([x, x], 1), "n ? c"),
        (lambda x: torch.cat(x.chunk(2, -1)[::-1], -1), "n ? c"),
        (lambda x: x.roll(1, 1).flip(1), "n ? c"),
        (lambda x: functional.glu(x), "n ? c"),
        (lambda x: functional.pad(x, (0, 0, 1, 1)), "n ? c"),
        (lambda x: x.unfold(1, 3, 3), "n ? c ?"),
        (lambda x: x.repeat(1, 2, 1), "n ? c"),
        (lambda x: x.repeat(2, 1, 1), "x ? c"),
        (lambda x: x.softmax(2) * x.sigmoid() + x.mean(1, keepdim=True), "n ? c"),
        (lambda x: x.softmax(1) @ torch.randn(C, 3), "n ? c"),
        (lambda x: x @ x.mT, "n ? ?"),
        (lambda x: (x @ x.mT).softmax(-1) @ x, "n ? c"),
        (lambda x: torch.einsum("ntc,cd->dnt", x, torch.randn(C, 7)), "? n ?"),  # channels, or learned queries
        (lambda x: functional.scaled_dot_product_attention(x, x, x), "n ? c"),
        (lambda x: functional.interpolate(x.mT, scale_factor=2).mT, "n t c"),
        (lambda x: functional.conv1d(x.mT, torch.randn(3, C, 2)), "n c t"),
        (lambda x: functional.conv2d(x.mT.reshape(N, C, 2, 3), torch.randn(3, C, 1, 1)), "n c h w"),
        (lambda x: functional.conv2d(x.mT.reshape(N, C, 2, 3), torch.randn(3, C, 1, 1)).flatten(2), "n c t"),
        (
            lambda x: functional.pixel_shuffle(functional.conv2d(x.mT.reshape(N, C, 2, 3), torch.randn(4, C, 1, 1)), 2),
            "n c h w",
        ),
        (lambda x: functional.unfold(functional.conv2d(x.mT.reshape(N, C, 2, 3), torch.randn(4, C, 1, 1)), 2), "n c t"),
        (lambda x: functional.normalize(x, dim=-1), "n ? c"),
        (lambda x: torch.zeros(N, T, C).copy_(x), "n ? c"),
        (lambda x: x.clone().mul_(2).transpose_(0, 1).relu_(), "? n c"),
        (lambda x: torch.fft.fft2(x, dim=(1, 2)).real, "n ? c"),
        (lambda x: torch.view_as_real(torch.view_as_complex(x.reshape(N, T, 4, 2))).flatten(2), "n ? c"),
        (lambda x: x.double().half().to(torch.bfloat16), "n ? c"),
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_axes_are_followed_through_operations(function, expected, mode):
    def run(x, weight):
        with mode():
            return channels(function)(x, weight)

    assert traced(run, TOKENS, WEIGHT)[0] == expected


def test_what_does_not_depend_on_the_inputs_is_constant():
    assert traced(lambda x, p: p.exp() + torch.zeros_like(x[:1, :1, :1]), TOKENS, TOKEN) == "constant"
    assert traced(lambda x: torch.tensor([1.0]) + torch.arange(3), TOKENS) == "constant"


def with_tokens(x, token):
    return torch.cat([token.expand(N, -1, -1), x @ torch.ones(5, C), token.expand(N, 2, -1) * 2], 1)


@pytest.mark.parametrize(
    ("function", "special"),
    [
        (lambda x: x, [0, 7, 8]),
        (lambda x: functional.layer_norm(x + torch.randn(1, 9, C), [C]) @ torch.ones(C, 3), [0, 7, 8]),
        (lambda x: x + functional.scaled_dot_product_attention(x, x, x), [0, 7, 8]),
        (lambda x: x.transpose(0, 1), [0, 7, 8]),
        (lambda x: x.flip(1), [0, 1, 8]),
        (lambda x: x.roll(1, 1), [0, 1, 8]),
        (lambda x: x[:, :-1], [0, 7]),
        (lambda x: x[:, torch.tensor([7, 3, 2])], [0]),
        (lambda x: torch.cat([x[:, 1:4], x[:, :1], x[:, -1:]], 1), [3, 4]),
        (lambda x: torch.cat([x[:, 4:5], x[:, 8][:, None]], 1), [1]),
        (lambda x: torch.cat([x[:, 7].reshape(N, 1, C), x[:, 1:3]], 1), [0]),
        (lambda x: functional.pad(x, (0, 0, 0, 1)), [0, 7, 8, 9]),
        (lambda x: torch.cat(x.split([3, 4, 2], 1), 1), [0, 7, 8]),
        (lambda x: (x.reshape(N, 9, 2, 4).transpose(1, 2) * 2).transpose(1, 2).reshape(N, 9, C), [0, 7, 8]),
        (lambda x: x.clone().index_fill_(1, torch.tensor([0]), 1.0), [0, 7, 8]),
    ],
)
def test_tokens_from_parameters_stay_special(function, special):
    assert traced(lambda x, token: function(with_tokens(x, token)), TOKENS, TOKEN)[1:] == (special,)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 1:7],
        lambda x: x.mean(1),
        lambda x: x.gather(1, x.argsort(1)),
        lambda x: x.sort(1).values,
        lambda x: x.reshape(N, 3, 3, C),
        lambda x: x + x[:, 3:4].expand(-1, 9, -1).clone() * 0 + torch.ones(N, 9, C).mul_(x[:, 1:2]),
    ],
)
def test_tokens_that_are_not_from_parameters_are_not_special(function):
    assert traced(lambda x, token: function(with_tokens(x, token)), TOKENS, TOKEN)[1:] == ()


def test_tokens_written_into_a_buffer_are_special_or_not():
    def fill(x, token):
        buffer = torch.empty(N, T + 2, C)
        buffer[:, 1:-1] = functional.linear(x, torch.ones(C, 5))
        buffer[:, 0] = token[0]
        buffer[:, -1:] = token
        return buffer

    assert traced(fill, TOKENS, TOKEN) == ("n ? c", [0, T + 1])


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return self.norm(self.block(torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)))


IMAGES = torch.randn(N, 3, 8, 8)


def outputs_of(model, images):
    """The outputs of the children of a model, without tracing."""
    outputs = {}
    hooks = [
        module.register_forward_hook(lambda module, arguments, output, name=name: outputs.update({name: output}))
        for name, module in model.named_children()
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_tracing_does_not_change_values(dtype):
    model = Model().eval().to(dtype)
    recorded, expected = record(model, IMAGES), outputs_of(model, IMAGES.to(dtype))
    assert [x.layout for x in recorded.values()] == ["nchw", "ntd", "ntd"]
    for name, output in expected.items():
        sets = output.flatten(2).mT if output.ndim == 4 else output
        np.testing.assert_array_equal(recorded[name], sets.float() if sets.dtype == torch.bfloat16 else sets)


def test_errors_of_the_tracing_leave_axes_unknown(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("in the tracing")

    monkeypatch.setattr(axis_tracing, "_rule_for", fail)
    model = Model().eval()
    recorded, expected = record(model, IMAGES), outputs_of(model, IMAGES)
    assert [x.layout for x in recorded.values()] == ["nchw", "ntd", "ntd"]  # told by the modules
    np.testing.assert_array_equal(recorded["norm"], expected["norm"])


def test_a_model_that_cannot_be_traced_runs_without_tracing(monkeypatch):
    calls = []

    class Refusing(Model):
        def forward(self, images):
            calls.append(len(images))
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("no modes")
            return super().forward(images)

    model = Refusing().eval()
    torch.manual_seed(0)
    recorded = record(model, IMAGES)
    assert [x.layout for x in recorded.values()] == ["nchw", "ntd", "ntd"]
    with pytest.raises(RuntimeError, match="of the model"):
        record(model, IMAGES, forward=lambda images: exec("raise RuntimeError('of the model')"))


def test_a_model_runs_once_per_batch():
    model, sizes = Model(), []
    record(model, IMAGES, batch_size=3, forward=lambda images: sizes.append(len(images)) or model(images))
    assert sizes == [3, 1]


def test_tracing_keeps_no_tensor_alive():
    alive = []

    class Watched(nn.Module):
        def forward(self, x):
            alive.append(sum(reference() is not None for reference in references))
            x = x + 1
            references.append(weakref.ref(x))
            return x

    references = []
    model = nn.Sequential(nn.Linear(3, 4), *(Watched() for _ in range(5)))
    gc.disable()
    try:
        record(model, torch.randn(N, 3))
    finally:
        gc.enable()
    assert max(alive) == 1
    assert [reference() for reference in references] == [None] * 5


def test_checkpointed_parts_are_traced():
    class Checkpointed(Model):
        def forward(self, images):
            return checkpoint(super().forward, images, use_reentrant=False)

    model = Checkpointed().eval()
    np.testing.assert_array_equal(record(model, IMAGES)["norm"], outputs_of(model, IMAGES)["norm"])


def compiled_calls():
    calls = []

    def backend(module, example):
        def run(*arguments):
            calls.append(1)
            return module(*arguments)

        return run

    return calls, backend


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="this Torch cannot run compiled code uncompiled")
@pytest.mark.parametrize("way", ["part", "in place", "whole", "forward"])
def test_compiled_parts_run_compiled_and_are_traced_apart(way):
    torch.compiler.reset()
    calls, backend = compiled_calls()
    model = nn.Sequential(nn.Conv1d(3, 5, 1), nn.Sequential(nn.ReLU(), nn.Tanh())).eval()
    x = torch.randn(N, 3, 5)  # as many times as channels
    with torch.no_grad():
        expected = model(x).numpy().transpose(0, 2, 1)
    options = {"batch_size": 3}
    if way == "part":
        model[1] = torch.compile(model[1], backend=backend)
    elif way == "in place":
        model[1].compile(backend=backend)
    elif way == "whole":
        model = torch.compile(model, backend=backend)
    else:
        options["forward"] = torch.compile(model.forward, backend=backend)
    name = "_orig_mod.1" if way == "whole" else "1"
    recorded = record(model, x, name, **options)
    assert recorded[name].layout == "nct"
    np.testing.assert_allclose(recorded[name], expected, atol=1e-6)
    ran = len(calls)
    assert ran >= 2
    with torch.no_grad():
        options.get("forward", model)(x)
    assert len(calls) > ran or way == "in place"  # it still runs compiled; Torch drops the last kind by itself


@pytest.mark.skipif(
    not hasattr(torch.utils._python_dispatch.TorchDispatchMode, "ignore_compile_internals"),
    reason="this Torch compiles nothing while a mode is active",
)
def test_a_compiled_function_stays_compiled():
    torch.compiler.reset()
    calls, backend = compiled_calls()
    function = torch.compile(lambda x: x * 2 + 1, backend=backend)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.out = nn.Linear(3, 4), nn.LayerNorm(4)

        def forward(self, x):
            return self.out(function(self.linear(x)))

    model = Functional()
    record(model, torch.randn(N, 7, 3))
    ran = len(calls)
    with torch.no_grad():
        model(torch.randn(N, 7, 3))
    assert len(calls) > ran

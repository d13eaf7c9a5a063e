# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import simplugins

PROBE = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))


class Noisy(nn.Module):
    """A network whose training depends on modes, random numbers of all kinds and buffers, also in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
        self.frozen = nn.BatchNorm2d(4).eval()
        self.head = nn.Linear(64, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        maps = self.frozen(self.stem(images)) * (1 + self.calls / 100)
        noise = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002
        return self.head(maps.flatten(1)) + noise


def train(follow=None, autocast=False, steps=6):
    """Train, and return the model and all that its training has determined."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    model = Noisy()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(torch.rand(12, 3, 6, 6)), batch_size=4, shuffle=True)
    step = 0
    while step < steps:
        for (images,) in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                output = model(images)
                if follow is not None:  # between the forward and the backward pass
                    follow(model, step)
                loss = output.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    gradients = [parameter.grad for parameter in model.parameters()]
    moments = [value for state in optimizer.state.values() for value in state.values()]
    draws = [torch.rand(1), torch.tensor(np.random.rand()), torch.tensor(random.random())]  # noqa: NPY002
    return model, [*model.state_dict().values(), *gradients, *moments, *draws]


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.filterwarnings("ignore:.*random numbers")
def test_training_is_bit_identical_with_and_without_a_trajectory(autocast, tmp_path):
    model, expected = train(autocast=autocast)
    trajectory = simplugins.Trajectory(PROBE, ["stem", "frozen"], folder=tmp_path / "run")
    followed, result = train(trajectory, autocast)
    assert trajectory.steps == (0, 1, 2, 3, 4, 5)
    for ours, theirs in zip(result, expected, strict=True):
        assert torch.equal(ours, theirs)
    assert [module.training for module in followed.modules()] == [module.training for module in model.modules()]
    assert not any(module._forward_hooks for module in followed.modules())


def convolutions(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))


def drifting(trajectory, steps=(0, 5, 10), model=None):
    model = convolutions() if model is None else model
    generator = torch.Generator().manual_seed(2)
    for step in steps:
        trajectory.record(model, step)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return trajectory


@pytest.fixture(params=["memory", "folder"])
def trajectory(request, tmp_path):
    folder = None if request.param == "memory" else tmp_path / "run"
    return drifting(simplugins.Trajectory(PROBE, ["0", "2"], folder=folder))


def test_rsms_are_those_of_the_recorded_layers(trajectory):
    expected = simplugins.record(convolutions(), PROBE, ["0", "2"])
    for layer, rsm in trajectory.rsms(0).items():
        np.testing.assert_allclose(rsm, simplugins.compute_rsm(expected[layer]), atol=1e-7)
    assert (trajectory.steps, trajectory.layers, len(trajectory)) == ((0, 5, 10), ("0", "2"), 3)


@pytest.mark.parametrize(
    ("reference", "pairs"),
    [
        ("first", [(0, 0), (5, 0), (10, 0)]),
        ("last", [(0, 10), (5, 10), (10, 10)]),
        (5, [(0, 5), (5, 5), (10, 5)]),
        ("previous", [(5, 0), (10, 5)]),
    ],
)
def test_checkpoints_are_compared_with_a_reference_layer_by_layer(trajectory, reference, pairs):
    result = trajectory.compare_with(reference, "cka", intervals=True, resamples=50)
    assert result.rows == tuple(str(step) for step, _ in pairs)
    assert result.columns == ("0", "2")
    for row, (step, other) in enumerate(pairs):
        for column, layer in enumerate(result.columns):
            rsms = trajectory.rsms(step)[layer], trajectory.rsms(other)[layer]
            assert result.values[row, column] == pytest.approx(simplugins.compare(*rsms, "cka"))
            interval = simplugins.bootstrap_interval(*rsms, "cka", resamples=50)
            ends = result.intervals.low[row, column], result.intervals.high[row, column]
            np.testing.assert_allclose(ends, (interval.low, interval.high), atol=1e-9)


pytestmark = pytest.mark.filterwarnings("ignore:.*repeat", "ignore:.*biased")


def test_all_checkpoints_are_compared_in_one_layer(trajectory):
    result = trajectory.compare_steps("2", "rsa-spearman")
    rsms = [trajectory.rsms(step)["2"] for step in trajectory.steps]
    expected = [[simplugins.compare(a, b, "rsa-spearman") for b in rsms] for a in rsms]
    np.testing.assert_allclose(result.values, expected)
    assert result.rows == result.columns == ("0", "5", "10")


def test_every_chooses_the_steps():
    for every, expected in ((2, (0, 2, 4)), ({1, 3}, (1, 3))):
        trajectory = simplugins.Trajectory(PROBE, ["0"], every=every)
        for step in range(5):
            trajectory(convolutions(), step)
        assert trajectory.steps == expected


def test_a_folder_is_continued_by_a_new_process_and_can_be_read(tmp_path):
    folder = tmp_path / "run"
    first = drifting(simplugins.Trajectory(PROBE, ["0", "2"], folder=folder), (0, 5))
    second = simplugins.Trajectory(PROBE, ["0", "2"], folder=folder)
    assert second.steps == (0, 5)
    second.record(convolutions(3), 10)
    loaded = simplugins.Trajectory.load(folder)
    assert loaded.steps == first.steps == (0, 5, 10)
    np.testing.assert_array_equal(loaded.compare_with("last"), second.compare_with("last"))
    with pytest.raises(ValueError, match="Trajectory"):
        loaded.record(convolutions(), 20)


@pytest.mark.parametrize(
    ("inputs", "options", "named"),
    [
        (PROBE + 1, {}, "inputs"),
        (PROBE, {"measure": "spatio-semantic-cosine"}, "measure"),
        (PROBE, {"layers": "0"}, "layers"),
    ],
)
def test_a_folder_of_another_trajectory_is_an_error(tmp_path, inputs, options, named):
    drifting(simplugins.Trajectory(PROBE, ["0", "2"], folder=tmp_path / "run"), (0,))
    with pytest.raises(ValueError, match=f"{named} was"):
        simplugins.Trajectory(inputs, **{"layers": ["0", "2"], "folder": tmp_path / "run", **options})


def test_checkpoints_after_the_restart_are_removed(trajectory):
    trajectory.begin(convolutions(4), 5)
    assert trajectory.steps == (0, 5)
    expected = simplugins.compute_rsm(simplugins.record(convolutions(4), PROBE, "2")["2"])
    np.testing.assert_allclose(trajectory.rsms(5)["2"], expected, atol=1e-7)


def test_a_new_training_does_not_overwrite_checkpoints(trajectory):
    with pytest.raises(ValueError, match="step 10"):
        trajectory.begin(convolutions(), 0)
    assert trajectory.steps == (0, 5, 10)


def test_an_interrupted_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    trajectory = drifting(simplugins.Trajectory(PROBE, ["0", "2"], folder=tmp_path / "run"), (0,))
    save, calls = simplugins.RSM.save, []

    def interrupted(rsm, path, **options):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(rsm, path, **options)

    monkeypatch.setattr(simplugins.RSM, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trajectory.record(convolutions(), 5)
    assert trajectory.steps == (0,)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"request.json", "layers.txt", "step-0"}


def test_memory_holds_rsms_and_not_activations():
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU())
    inputs = torch.rand(8, 3, 18, 18)
    trajectory = simplugins.Trajectory(inputs, ["0"])
    trajectory.record(model, 0)
    tracemalloc.start()
    for step in range(1, 11):
        trajectory.record(model, step)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 10 * 20_000 < 8 * 64 * 256 * 4


def test_a_part_and_a_compiled_model_are_recorded_as_the_model_itself():
    part = convolutions()
    whole = nn.ModuleDict({"encoder": part})
    of_part = simplugins.Trajectory(PROBE, ["2"], part="encoder")
    of_part.record(whole, 0)
    compiled = simplugins.Trajectory(PROBE, ["2"])
    compiled.record(torch.compile(part, backend="eager"), 0)
    np.testing.assert_array_equal(of_part.rsms(0)["2"], compiled.rsms(0)["2"])


def test_other_layers_than_before_are_an_error():
    trajectory = simplugins.Trajectory(PROBE)
    trajectory.record(convolutions(), 0)
    with pytest.raises(ValueError, match="layers 0, 1, 2"):
        trajectory.record(nn.Sequential(nn.Conv2d(3, 4, 3)), 1)


@pytest.mark.parametrize("step", [-1, 0.5, True, "3"])
def test_steps_are_whole_numbers(step):
    with pytest.raises(ValueError, match="step"):
        simplugins.Trajectory(PROBE).record(convolutions(), step)


def test_loaders_and_unknown_checkpoints_are_errors(trajectory):
    with pytest.raises(TypeError, match="DataLoader"):
        simplugins.Trajectory(DataLoader(TensorDataset(PROBE)))
    for call in (lambda: trajectory.rsms(3), lambda: trajectory.compare_with(3)):
        with pytest.raises(ValueError, match="0, 5, 10"):
            call()
    with pytest.raises(ValueError, match="layer"):
        trajectory.compare_steps("9")
    with pytest.raises(ValueError, match="got 0"):
        simplugins.Trajectory(PROBE).compare_with()
    for trainer in (trajectory.lightning, trajectory.hugging_face):
        with pytest.raises(ValueError, match="unit"):
            trainer("batch")


@pytest.mark.parametrize("every", [0, -1, 2.5, True, None, "a", {"a"}, [True], [1.0]])
def test_steps_that_are_no_numbers_of_steps_are_errors(every):
    with pytest.raises((TypeError, ValueError), match="every"):
        simplugins.Trajectory(PROBE, ["0"], every=every)


@pytest.mark.parametrize("every", [np.int64(2), range(0, 4, 2), np.array([0, 2])])
def test_steps_may_be_numbers_of_numpy(every):
    trajectory = simplugins.Trajectory(PROBE, ["0"], every=every)
    for step in (0, 1, torch.tensor(2), np.int32(3)):
        trajectory(convolutions(), step)
    assert trajectory.steps == (0, 2)


@pytest.mark.parametrize("name", ["DataParallel", "compiled", "both"])
def test_models_that_are_wrapped_are_recorded_without_the_wrapper(name):
    model = convolutions()
    wrapped = torch.compile(model, backend="eager") if name != "DataParallel" else model
    wrapped = wrapped if name == "compiled" else nn.DataParallel(wrapped)
    trajectory = simplugins.Trajectory(PROBE, ["0", "2"])
    trajectory.record(model, 0)
    trajectory.record(wrapped, 1)
    assert np.array_equal(trajectory.rsms(0)["2"], trajectory.rsms(1)["2"])


class DistributedDataParallel(nn.Module):
    """As Torch's, a wrapper that waits for other processes when it is run."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        raise AssertionError("waits for other processes")


def test_a_process_records_without_waiting_for_others():
    trajectory = simplugins.Trajectory(PROBE, ["0"])
    trajectory.record(DistributedDataParallel(convolutions()), 0)
    assert trajectory.steps == (0,)


def test_an_unknown_part_is_an_error_that_names_the_parts():
    with pytest.raises(ValueError, match=r"part.*'encoder'.*0, 1, 2"):
        simplugins.Trajectory(PROBE, part="encoder").record(convolutions(), 0)


class Lazy(nn.Module):
    """A network that makes a buffer when it first runs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        if not hasattr(self, "scale"):
            self.register_buffer("scale", images.mean())
        return self.layer(images) * self.scale


def test_buffers_that_a_recording_makes_are_removed():
    model = Lazy()
    simplugins.Trajectory(PROBE, ["layer"]).record(model, 0)
    assert not hasattr(model, "scale")


def test_other_options_of_a_matcher_are_another_trajectory(tmp_path):
    for window in (2, 2):
        simplugins.Trajectory(PROBE, folder=tmp_path / "run", matching=simplugins.BatchOptimal(window=window))
    with pytest.raises(ValueError, match="matching was"):
        simplugins.Trajectory(PROBE, folder=tmp_path / "run", matching=simplugins.BatchOptimal(window=4))


def test_a_failed_first_checkpoint_does_not_decide_the_layers(tmp_path, monkeypatch):
    trajectory = simplugins.Trajectory(PROBE, folder=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(simplugins.RSM, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="space"):
            trajectory.record(convolutions(), 0)
    assert (trajectory.steps, trajectory.layers) == ((), ())
    trajectory.record(nn.Sequential(nn.Conv2d(3, 4, 3)), 0)
    assert len(trajectory.layers) == 1

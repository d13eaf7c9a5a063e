# SPDX-License-Identifier: Apache-2.0
"""Callbacks in the trainers themselves; skipped where they are not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import simplugins

PROBE = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
IMAGES = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(3))

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the trainers


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 2))


def check_recorded(trajectory, initial, final):
    """Check that the first and last RSMs are those of the model before and after training."""
    for model, step in ((initial, trajectory.steps[0]), (final, trajectory.steps[-1])):
        expected = simplugins.compute_rsm(simplugins.record(model, PROBE, "0")["0"])
        np.testing.assert_allclose(trajectory.rsms(step)["0"], expected, atol=1e-6)


class TestLightning:
    @pytest.fixture
    def fit(self, tmp_path):
        pytorch = pytest.importorskip("lightning.pytorch")

        class Module(pytorch.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = network()

            def training_step(self, batch, _):
                return self.net(batch[0]).square().mean()

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=0.01)

        def fit(callbacks, checkpoint=None, **options):
            module = Module()
            silent = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
            trainer = pytorch.Trainer(
                accelerator="cpu", default_root_dir=tmp_path, callbacks=callbacks, **silent, **options
            )
            trainer.fit(module, DataLoader(TensorDataset(IMAGES), batch_size=4, shuffle=True), ckpt_path=checkpoint)
            return trainer, module

        return fit

    @pytest.mark.parametrize(
        ("unit", "every", "steps"), [("epoch", 1, (0, 1, 2, 3)), ("step", 4, (0, 4, 8, 9)), ("epoch", 2, (0, 2, 3))]
    )
    def test_a_trainer_is_followed_without_changing_its_result(self, fit, unit, every, steps):
        trajectory = simplugins.Trajectory(PROBE, ["0"], part="net", every=every)
        _, module = fit([trajectory.lightning(unit)], max_epochs=3)
        _, expected = fit([], max_epochs=3)
        for ours, theirs in zip(module.state_dict().values(), expected.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)
        assert trajectory.steps == steps
        check_recorded(trajectory, network(), module.net)

    def test_accumulated_gradients_are_one_step(self, fit):
        trajectory = simplugins.Trajectory(PROBE, ["0"], part="net")
        fit([trajectory.lightning("step")], max_epochs=1, accumulate_grad_batches=3)
        assert trajectory.steps == (0, 1)

    def test_a_restarted_training_replaces_checkpoints_after_the_restart(self, fit, tmp_path):
        folder = tmp_path / "run"
        trainer, _ = fit([simplugins.Trajectory(PROBE, ["0"], part="net", folder=folder).lightning()], max_epochs=2)
        trainer.save_checkpoint(tmp_path / "two.ckpt")
        again = simplugins.Trajectory(PROBE, ["0"], part="net", folder=folder)
        again.record(trainer.model, 3)  # of the run that will be repeated
        fit([again.lightning()], tmp_path / "two.ckpt", max_epochs=4)
        assert again.steps == (0, 1, 2, 3, 4)
        with pytest.raises(ValueError, match="step 4"):
            fit([again.lightning()], max_epochs=1)


class TestTransformers:
    @pytest.fixture
    def fit(self, tmp_path):
        transformers = pytest.importorskip("transformers")
        pytest.importorskip("accelerate")

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = network()

            def forward(self, images):
                output = self.net(images)
                return {"loss": output.square().mean(), "logits": output}

        class Items(Dataset):
            def __len__(self):
                return len(IMAGES)

            def __getitem__(self, index):
                return {"images": IMAGES[index]}

        def fit(callbacks, epochs, resume=None):
            arguments = transformers.TrainingArguments(
                output_dir=str(tmp_path / "out"),
                num_train_epochs=epochs,
                per_device_train_batch_size=4,
                save_strategy="epoch",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                seed=0,
            )
            model = Model()
            transformers.Trainer(model, arguments, train_dataset=Items(), callbacks=callbacks).train(
                resume_from_checkpoint=resume
            )
            return model

        return fit

    @pytest.mark.parametrize(
        ("unit", "every", "steps"), [("epoch", 1, (0, 1, 2, 3)), ("step", 4, (0, 4, 8, 9)), ("epoch", 2, (0, 2, 3))]
    )
    def test_a_trainer_is_followed_without_changing_its_result(self, fit, unit, every, steps):
        trajectory = simplugins.Trajectory(PROBE, ["0"], part="net", every=every)
        model, expected = fit([trajectory.hugging_face(unit)], 3), fit([], 3)
        for ours, theirs in zip(model.state_dict().values(), expected.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)
        assert trajectory.steps == steps
        check_recorded(trajectory, network(), model.net)

    def test_a_restarted_training_replaces_checkpoints_after_the_restart(self, fit, tmp_path):
        folder = tmp_path / "run"
        first = simplugins.Trajectory(PROBE, ["0"], part="net", folder=folder)
        model = fit([first.hugging_face()], 2)
        again = simplugins.Trajectory(PROBE, ["0"], part="net", folder=folder)
        again.record(model, 3)  # of the run that will be repeated
        fit([again.hugging_face()], 4, resume=str(tmp_path / "out" / "checkpoint-6"))
        assert again.steps == (0, 1, 2, 3, 4)

    def test_a_training_of_less_than_half_an_epoch_has_a_last_checkpoint(self, fit):
        trajectory = simplugins.Trajectory(PROBE, ["0"], part="net")
        model = fit([trajectory.hugging_face()], 1 / 3)
        assert trajectory.steps == (0, 1)
        check_recorded(trajectory, network(), model.net)

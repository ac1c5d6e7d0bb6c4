#!/usr/bin/env python3
"""Do the peers compute the same training? From equal weights, over the same batches, NumPy, PyTorch
(eager and compiled) and JAX must show the same loss curve and end at the same weights.

  bench/peers/.venv/bin/python bench/peers/check.py

Needs no data: a small job of each kind on random samples. Dropout is off, since each library draws
its own. Exit code 1 where they differ. Ends with "N passed, N failed".
"""

import dataclasses
import os
import sys

# A compiled step must not be looked for on a GPU.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np  # noqa: E402

import jax_peer  # noqa: E402
import numpy_peer  # noqa: E402
import torch_peer  # noqa: E402
from data import Data  # noqa: E402
from jobs import JOBS  # noqa: E402
from training import initial_weights  # noqa: E402

EPOCHS = 4
# Four epochs amplify the rounding of float32 sums; a wrong factor or sign is far outside.
TOLERANCE = 2e-3


def small(job):
    """The job on narrower layers, in order and without dropout."""
    widths = job.widths if job.logistic else (24, 16, 12, 10)
    batch = min(job.batch, 64)
    return dataclasses.replace(
        job, widths=widths, batch=batch, dropout=0.0, shuffle=False, chunks=1
    )


def random_data(job, samples):
    random = np.random.default_rng(7)
    x = random.standard_normal((samples, job.widths[0])).astype(np.float32)
    classes = 2 if job.logistic else job.widths[-1]
    y = (x @ random.standard_normal((job.widths[0], classes))).argmax(axis=1)
    return Data(x, y, x, y)


def reference(job, data):
    """Loss after each epoch, and final weights, by float64 NumPy that shares no peer's code."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in initial_weights(job)]
    first = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    second = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    losses, steps = [], 0
    for _ in range(EPOCHS):
        for begin in range(0, len(data.y), job.batch):
            rows = slice(begin, begin + job.batch)
            gradients = reference_gradients(
                job, layers, data.x[rows].astype(np.float64), data.y[rows]
            )
            steps += 1
            for index, pair in enumerate(gradients):
                for part, gradient in enumerate(pair):
                    value = layers[index][part]
                    m, v = first[index][part], second[index][part]
                    value -= reference_update(job, value, gradient, m, v, steps)
        losses.append(reference_loss(job, layers, data))
    return losses, layers


def reference_update(job, value, gradient, m, v, steps):
    """What the step takes away from `value`; changes the moments."""
    if job.optimizer == "sgd":
        m[...] = job.momentum * m + gradient
        return job.learning_rate * m
    gradient = gradient + job.weight_decay * value
    m[...] = 0.9 * m + 0.1 * gradient
    v[...] = 0.999 * v + 0.001 * gradient**2
    corrected = m / (1 - 0.9**steps)
    return job.learning_rate * corrected / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)


def reference_forward(layers, x):
    """The input of each layer, and the logits."""
    inputs = []
    for index, (weight, bias) in enumerate(layers):
        inputs.append(x)
        x = x @ weight.T + bias
        if index + 1 < len(layers):
            x = np.maximum(x, 0)
    return inputs, x


def reference_gradients(job, layers, x, y):
    inputs, logits = reference_forward(layers, x)
    if job.logistic:
        error = 1 / (1 + np.exp(-logits)) - y[:, None]
    else:
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(len(y)), y] -= 1
    error /= len(y)
    gradients = []
    for index in range(len(layers) - 1, -1, -1):
        gradients.insert(0, (error.T @ inputs[index], error.sum(axis=0)))
        error = (error @ layers[index][0]) * (inputs[index] > 0)
    return gradients


def reference_loss(job, layers, data):
    logits = reference_forward(layers, data.x.astype(np.float64))[1]
    if job.logistic:
        z = logits[:, 0]
        return float(np.mean(np.logaddexp(0, z) - z * data.y))
    return float(
        np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(data.y)), data.y])
    )


def weights_of(trainer):
    """[(weight [out, in], bias)] of any peer's trainer, float64."""
    if isinstance(trainer, numpy_peer.Logistic):
        pairs = [(trainer.weight[None], np.array([trainer.bias]))]
    elif isinstance(trainer, numpy_peer.Mlp):
        pairs = trainer.layers
    elif isinstance(trainer, torch_peer.Trainer):
        values = [value.detach().numpy() for value in trainer.model.parameters()]
        pairs = zip(values[::2], values[1::2])
    else:
        pairs = [(np.asarray(w).T, np.asarray(b)) for w, b in trainer.state["layers"]]
    return [(np.array(w, np.float64), np.array(b, np.float64)) for w, b in pairs]


def ways(job):
    """Every float32 or float64 way to write the job: {name: trainer from data}."""
    found = {}
    for module in (numpy_peer, jax_peer):
        for name, build in module.variants(job, 1).items():
            found[name] = build
    steps = {f"eager, {n}": s for n, s in torch_peer.eager_steps(job).items()}
    steps |= {f"compiled, {n}": s for n, s in torch_peer.compiled_steps(job).items()}
    if job.logistic:
        steps["eager, by hand"] = torch_peer.ByHandStep
    for name, step in steps.items():
        found[f"PyTorch {name}"] = lambda data, step=step: torch_peer.Trainer(job, data, {"": step})
    return found


def in_order(trainer):
    """NumPy's MLP shuffles always: make its order the identity."""
    if isinstance(trainer, numpy_peer.Mlp):
        trainer.random = type("Identity", (), {"permutation": staticmethod(np.arange)})
    return trainer


def deviation(job, trainer, data, losses, layers):
    """Largest difference from the reference: losses relatively, weights in units of the largest."""
    worst = 0.0
    for loss in losses:
        trainer.train_chunk()
        worst = max(worst, abs(reference_loss(job, weights_of(trainer), data) - loss) / abs(loss))
    for (weight, bias), (expected, expected_bias) in zip(weights_of(trainer), layers):
        worst = max(worst, np.abs(weight - expected).max() / np.abs(expected).max())
        worst = max(worst, np.abs(bias - expected_bias).max() / np.abs(expected_bias).max())
    return worst


def main():
    passed = failed = 0
    for full_job in JOBS.values():
        samples = 1000  # not a multiple of the batch: the last one is short
        job = small(full_job)
        data = random_data(job, samples)
        losses, layers = reference(job, data)
        print(f"{job.name}: loss by epoch " + ", ".join(f"{loss:.5f}" for loss in losses))
        for name, build in ways(job).items():
            worst = deviation(job, in_order(build(data)), data, losses, layers)
            good = worst < TOLERANCE
            passed, failed = passed + good, failed + (not good)
            print(f"  {'ok  ' if good else 'FAIL'} {name:50} deviates by {worst:.1e}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

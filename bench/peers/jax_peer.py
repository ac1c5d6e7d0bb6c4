"""JAX: a jitted scan over the batches, which are gathered inside it; the state is donated.

Tried and not faster on the CPU: gathering the whole epoch before the scan, unrolling it, weights
stored [out, in], the RBG generator for dropout.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from training import Chunks, batch_bounds, initial_weights


def versions():
    return {"jax": jax.__version__}


def variants(job, threads):
    return {"JAX scan": lambda data: Trainer(job, data)}


def forward(job, layers, x, key):
    """Logits; `key` None: evaluation, no dropout."""
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if index + 1 == len(layers):
            break
        x = jax.nn.relu(x)
        if job.dropout and key is not None:
            key, used = jax.random.split(key)
            keep = jax.random.bernoulli(used, 1 - job.dropout, x.shape)
            x = jnp.where(keep, x / (1 - job.dropout), 0)
    return x


def mean_loss(layers, job, x, y, key):
    logits = forward(job, layers, x, key)
    if job.logistic:
        z = logits[:, 0]
        return jnp.mean(jax.nn.softplus(z) - z * y)
    picked = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


def update(job, state, gradients):
    """SGD with momentum, or Adam with L2 weight decay (as torch.optim.Adam defines it)."""
    each, rate = jax.tree.map, job.learning_rate
    layers, step = state["layers"], state["step"] + 1
    if job.optimizer == "sgd" and not job.momentum:
        return state | {"layers": each(lambda w, g: w - rate * g, layers, gradients), "step": step}
    if job.optimizer == "sgd":
        first = each(lambda v, g: job.momentum * v + g, state["first"], gradients)
        layers = each(lambda w, v: w - rate * v, layers, first)
        return state | {"layers": layers, "first": first, "step": step}
    gradients = each(lambda g, w: g + job.weight_decay * w, gradients, layers)
    first = each(lambda m, g: 0.9 * m + 0.1 * g, state["first"], gradients)
    second = each(lambda v, g: 0.999 * v + 0.001 * g * g, state["second"], gradients)
    correct1, correct2 = 1 - 0.9**step, 1 - 0.999**step
    layers = each(
        lambda w, m, v: w - rate * (m / correct1) / (jnp.sqrt(v / correct2) + 1e-8),
        layers, first, second,
    )  # fmt: skip
    return state | {"layers": layers, "first": first, "second": second, "step": step}


def train_step(job, state, x, y):
    key, used = jax.random.split(state["key"])
    loss, gradients = jax.value_and_grad(mean_loss)(state["layers"], job, x, y, used)
    return update(job, state | {"key": key}, gradients), loss


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def scan_rows(job, state, x, y, batches):
    """batches [steps, B]: the rows of each batch."""

    def body(state, rows):
        pick = partial(lambda a, rows: a.at[rows].get(mode="promise_in_bounds"), rows=rows)
        return train_step(job, state, pick(x), pick(y))

    return lax.scan(body, state, batches)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def scan_in_order(job, state, x, y):
    """x [steps, B, d], y [steps, B]: the batches as they lie."""
    return lax.scan(lambda state, batch: train_step(job, state, *batch), state, (x, y))


class Trainer:
    note = ""

    def __init__(self, job, data, weights=None):
        self.job, self.data, self.chunks = job, data, Chunks(job)
        self.random = np.random.default_rng(1)
        self.x = jnp.asarray(data.x)
        self.y = jnp.asarray(data.y, jnp.float32 if job.logistic else jnp.int32)
        layers = [(jnp.array(w.T), jnp.array(b)) for w, b in weights or initial_weights(job)]
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = {"layers": layers, "step": jnp.float32(0), "key": jax.random.key(1)}
        if job.optimizer == "adam":
            self.state |= {"first": zeros(layers), "second": zeros(layers)}
        elif job.momentum:
            self.state |= {"first": zeros(layers)}
        full = len(data.y) // job.batch * job.batch
        if not job.shuffle:
            shape = (-1, job.batch)
            self.ordered = [
                (self.x[:full].reshape(*shape, self.x.shape[1]), self.y[:full].reshape(shape))
            ]
            if full < len(data.y):
                self.ordered.append((self.x[None, full:], self.y[None, full:]))

    def train_chunk(self):
        chunk = self.chunks.advance()
        if self.job.shuffle:
            return self.train_rows(chunk)
        for x, y in self.ordered:
            self.state, _ = scan_in_order(self.job, self.state, x, y)
        jax.block_until_ready(self.state)
        return len(self.data.y)

    def train_rows(self, chunk):
        if chunk == 0:
            self.order = self.random.permutation(len(self.data.y)).astype(np.int32)
        bounds = batch_bounds(self.job, len(self.order), chunk)
        rows = self.order[bounds[0][0] : bounds[-1][1]]
        full = len(rows) // self.job.batch * self.job.batch
        for part, size in ((rows[:full], self.job.batch), (rows[full:], len(rows) - full)):
            if size:
                batches = jnp.asarray(part.reshape(-1, size))
                self.state, _ = scan_rows(self.job, self.state, self.x, self.y, batches)
        jax.block_until_ready(self.state)
        return len(rows)

    def accuracy(self):
        logits = np.asarray(
            forward(self.job, self.state["layers"], jnp.asarray(self.data.test_x), None)
        )
        guess = logits[:, 0] > 0 if self.job.logistic else logits.argmax(axis=1)
        return float(np.mean(guess == self.data.test_y))

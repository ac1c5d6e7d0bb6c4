"""NumPy: gradients by hand, every buffer allocated once, BLAS for the products."""

import numpy as np

from training import Chunks, batch_bounds, initial_weights


def versions():
    return {"numpy": np.__version__}


def variants(job, threads):
    if job.logistic:
        return {
            "NumPy float64": lambda data: Logistic(job, data, np.float64),
            "NumPy float32": lambda data: Logistic(job, data, np.float32),
        }
    if job.optimizer == "sgd":
        return {"NumPy float32": lambda data: Mlp(job, data)}
    return {}


class Logistic:
    note = ""

    def __init__(self, job, data, dtype):
        self.job, self.chunks = job, Chunks(job)
        self.x, self.y = data.x.astype(dtype, copy=False), data.y.astype(dtype)
        self.test_x, self.test_y = data.test_x, data.test_y
        self.weight, self.bias = np.zeros(job.widths[0], dtype), dtype(0)
        self.logits = np.empty(job.batch, dtype)

    def step(self, x, y):
        error = self.logits[: len(y)]
        np.dot(x, self.weight, out=error)
        error += self.bias
        # sigmoid(z) = (1 + tanh(z / 2)) / 2: stable, and tanh is vectorised.
        error *= 0.5
        np.tanh(error, out=error)
        error *= 0.5
        error += 0.5
        error -= y
        rate = self.job.learning_rate / len(y)
        self.weight -= rate * (error @ x)
        self.bias -= self.bias.dtype.type(rate) * error.sum()

    def train_chunk(self):
        self.chunks.advance()
        for begin, end in batch_bounds(self.job, len(self.y), 0):
            self.step(self.x[begin:end], self.y[begin:end])
        return len(self.y)

    def accuracy(self):
        return float(np.mean((self.test_x @ self.weight + self.bias > 0) == self.test_y))


class Mlp:
    """ReLU layers, softmax cross-entropy, SGD with momentum over one flat buffer."""

    note = ""

    def __init__(self, job, data, weights=None):
        self.job, self.data, self.chunks = job, data, Chunks(job)
        self.random = np.random.default_rng(1)
        flat = np.concatenate([v.ravel() for pair in weights or initial_weights(job) for v in pair])
        self.values, self.gradients = flat, np.zeros_like(flat)
        self.velocity = np.zeros_like(flat)
        self.layers, self.layer_gradients = self.views(self.values), self.views(self.gradients)
        self.outputs = [np.empty((job.batch, w), np.float32) for w in job.widths[1:]]
        self.errors = [np.empty_like(out) for out in self.outputs]
        self.batch_x = np.empty((job.batch, job.widths[0]), np.float32)
        self.batch_y = np.empty(job.batch, np.int64)

    def views(self, flat):
        layers, at = [], 0
        for inputs, outputs in zip(self.job.widths, self.job.widths[1:]):
            weight = flat[at : at + inputs * outputs].reshape(outputs, inputs)
            at += inputs * outputs
            layers.append((weight, flat[at : at + outputs]))
            at += outputs
        return layers

    def forward(self, x, outputs):
        for index, ((weight, bias), out) in enumerate(zip(self.layers, outputs)):
            np.matmul(x, weight.T, out=out)
            out += bias
            if index + 1 < len(self.layers):
                np.maximum(out, 0, out=out)
            x = out
        return x

    def backward(self, x, y):
        """Fills the gradients of the mean loss times the learning rate."""
        n = len(y)
        outputs = [out[:n] for out in self.outputs]
        errors = [error[:n] for error in self.errors]
        logits = self.forward(x, outputs)
        logits -= logits.max(axis=1, keepdims=True)
        error = np.exp(logits, out=errors[-1])
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(n), y] -= 1
        error *= np.float32(self.job.learning_rate / n)
        for index in range(len(self.layers) - 1, -1, -1):
            weight_gradient, bias_gradient = self.layer_gradients[index]
            below = outputs[index - 1] if index else x
            np.matmul(error.T, below, out=weight_gradient)
            np.sum(error, axis=0, out=bias_gradient)
            if index:
                error = np.matmul(error, self.layers[index][0], out=errors[index - 1])
                error *= below > 0

    def step(self, x, y):
        self.backward(x, y)
        self.velocity *= np.float32(self.job.momentum)
        self.velocity += self.gradients
        self.values -= self.velocity

    def train_chunk(self):
        if self.chunks.advance() == 0:
            self.order = self.random.permutation(len(self.data.y))
        samples = 0
        for begin, end in batch_bounds(self.job, len(self.order), 0):
            rows, n = self.order[begin:end], end - begin
            np.take(self.data.x, rows, axis=0, out=self.batch_x[:n], mode="clip")
            np.take(self.data.y, rows, out=self.batch_y[:n], mode="clip")
            self.step(self.batch_x[:n], self.batch_y[:n])
            samples += n
        return samples

    def loss(self, x, y):
        """Mean cross-entropy, in float64."""
        outputs = [np.empty((len(y), w), np.float32) for w in self.job.widths[1:]]
        logits = self.forward(x, outputs).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))

    def accuracy(self):
        outputs = [np.empty((len(self.data.test_y), w), np.float32) for w in self.job.widths[1:]]
        logits = self.forward(self.data.test_x, outputs)
        return float(np.mean(logits.argmax(axis=1) == self.data.test_y))

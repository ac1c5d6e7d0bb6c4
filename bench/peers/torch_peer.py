"""PyTorch: tensors loaded once, rows gathered by index_select, no DataLoader.

Where there are several good ways to write a step, each is tried for a moment and the fastest is
kept; `note` says which.
"""

import time

import torch
import torch.nn.functional as F
from torch import nn

from training import Chunks, batch_bounds, initial_weights

TRIAL_SECONDS = 0.3


def versions():
    return {"torch": torch.__version__}


def variants(job, threads):
    torch.set_num_threads(threads)
    made = {
        "PyTorch eager": lambda data: Trainer(job, data, eager_steps(job)),
        "PyTorch compiled": lambda data: Trainer(job, data, compiled_steps(job)),
    }
    if job.logistic:
        made["PyTorch eager, by hand"] = lambda data: Trainer(job, data, {"": ByHandStep})
    elif job.optimizer == "sgd":
        made["PyTorch eager bf16"] = lambda data: Trainer(job, data, eager_steps(job, bf16=True))
        made["PyTorch compiled bf16"] = lambda data: Trainer(
            job, data, compiled_steps(job, bf16=True)
        )
    return made


def eager_steps(job, bf16=False):
    def build(**kind):
        return lambda job, model: EagerStep(job, model, bf16, kind)

    return {
        "fused optimizer": build(fused=True),
        "foreach optimizer": build(foreach=True),
        "for-loop optimizer": build(foreach=False),
    }


def compiled_steps(job, bf16=False):
    """Tried and not faster: compiling the forward pass alone, inductor's C++ wrapper, max-autotune;
    for logistic regression anything with autograd."""
    if job.logistic:
        return {"by hand": lambda job, model: ByHandStep(job, model, compiled=True)}
    return {
        "whole step": lambda job, model: WholeStep(job, model, bf16),
        "gradients, then a fused optimizer": lambda job, model: GradientStep(job, model, bf16),
    }


def make_model(job, weights=None):
    layers = []
    pairs = weights or initial_weights(job)
    for index, (weight, bias) in enumerate(pairs):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers.append(linear)
        if index + 1 < len(pairs):
            layers.append(nn.ReLU())
            if job.dropout:
                layers.append(nn.Dropout(job.dropout))
    return nn.Sequential(*layers)


def mean_loss(job, logits, y):
    if job.logistic:
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), y)
    return F.cross_entropy(logits, y)


def make_optimizer(job, parameters, **kind):
    if job.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=job.learning_rate, weight_decay=job.weight_decay, **kind
        )
    return torch.optim.SGD(parameters, lr=job.learning_rate, momentum=job.momentum, **kind)


def autocast_for(model, bf16):
    """A function that gives the context of a forward pass. On a GPU casts of weights are not
    cached, which CUDA graphs forbid and one forward pass does not miss."""
    device = next(model.parameters()).device.type
    return lambda: torch.autocast(
        device, dtype=torch.bfloat16, enabled=bf16, cache_enabled=device == "cpu"
    )


class EagerStep:
    """The usual loop: autograd and an optimizer of torch.optim."""

    def __init__(self, job, model, bf16, kind):
        self.job, self.model = job, model
        self.autocast = autocast_for(model, bf16)
        self.optimizer = make_optimizer(job, model.parameters(), **kind)

    def __call__(self, x, y):
        with self.autocast():
            loss = mean_loss(self.job, self.model(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def reset(self):
        self.optimizer.state.clear()


def gradient_function(job, model, bf16):
    """(values by name, x, y) -> gradients by name; torch.func, so that it compiles as one graph."""

    autocast = autocast_for(model, bf16)

    def loss(values, x, y):
        with autocast():
            return mean_loss(job, torch.func.functional_call(model, values, (x,)), y)

    return torch.func.grad(loss)


class GradientStep:
    """Forward and backward in one compiled graph, the update by torch.optim."""

    def __init__(self, job, model, bf16):
        self.parameters = dict(model.named_parameters())
        self.values = {name: value.detach() for name, value in self.parameters.items()}
        self.optimizer = make_optimizer(job, model.parameters(), fused=True)
        self.gradients = torch.compile(gradient_function(job, model, bf16), dynamic=False)

    def __call__(self, x, y):
        for name, gradient in self.gradients(self.values, x, y).items():
            self.parameters[name].grad = gradient
        self.optimizer.step()

    def reset(self):
        self.optimizer.state.clear()


class WholeStep:
    """Forward, backward and update in one compiled graph. `mode` is torch.compile's."""

    def __init__(self, job, model, bf16, mode=None):
        self.job = job
        self.values = {name: value.detach() for name, value in model.named_parameters()}
        self.first = {name: torch.zeros_like(value) for name, value in self.values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in self.values.items()}
        self.steps = torch.zeros((), device=next(model.parameters()).device)
        if mode == "reduce-overhead":  # its CUDA graphs must know what stays where it is
            for state in (self.values, self.first, self.second, {"steps": self.steps}):
                for value in state.values():
                    torch._dynamo.mark_static_address(value)
        self.gradients = gradient_function(job, model, bf16)
        self.compiled = torch.compile(self.step, dynamic=False, mode=mode)

    def step(self, x, y):
        job, gradients = self.job, self.gradients(self.values, x, y)
        self.steps.add_(1)
        for name, value in self.values.items():
            gradient = gradients[name]
            if job.optimizer == "adam":
                self.adam(value, gradient + job.weight_decay * value, name)
            elif job.momentum:
                self.first[name].mul_(job.momentum).add_(gradient)
                value.sub_(self.first[name], alpha=job.learning_rate)
            else:
                value.sub_(gradient, alpha=job.learning_rate)

    def adam(self, value, gradient, name):
        first, second = self.first[name], self.second[name]
        first.mul_(0.9).add_(gradient, alpha=0.1)
        second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        root = (second / (1 - 0.999**self.steps)).sqrt() + 1e-8
        value.sub_(self.job.learning_rate / (1 - 0.9**self.steps) * first / root)

    def __call__(self, x, y):
        self.compiled(x, y)

    def reset(self):
        for state in (*self.first.values(), *self.second.values(), self.steps):
            state.zero_()


class ByHandStep:
    """Logistic regression with its gradient written out, as the NumPy peer does."""

    def __init__(self, job, model, compiled=False, mode=None):
        self.weight = model[0].weight.detach()[0]
        self.bias = model[0].bias.detach()
        self.rate = job.learning_rate
        self.call = torch.compile(self.step, dynamic=False, mode=mode) if compiled else self.step

    def step(self, x, y):
        x = x.to(self.weight.dtype)  # features may be bfloat16
        error = torch.addmv(self.bias, x, self.weight).sigmoid_().sub_(y)
        rate = self.rate / len(y)
        self.weight.sub_(error @ x, alpha=rate)
        self.bias.sub_(error.sum(), alpha=rate)

    def __call__(self, x, y):
        with torch.no_grad():
            self.call(x, y)

    def reset(self):
        pass


class Trainer:
    def __init__(self, job, data, steps, weights=None):
        """steps: {what it is: step(job, model)}, of which the fastest is kept."""
        self.job, self.chunks = job, Chunks(job)
        self.x = torch.from_numpy(data.x)
        self.y = torch.from_numpy(data.y).to(torch.float32 if job.logistic else torch.int64)
        self.test_x, self.test_y = torch.from_numpy(data.test_x), torch.from_numpy(data.test_y)
        self.note, self.model, self.step = self.fastest(steps, weights)

    def fastest(self, steps, weights):
        best = None
        x, y = self.x[: self.job.batch], self.y[: self.job.batch]
        for note, build in steps.items():
            torch.manual_seed(1)
            model = make_model(self.job, weights).train()
            start = {name: value.clone() for name, value in model.state_dict().items()}
            step = build(self.job, model)
            rate = steps_per_second(step, x, y) if len(steps) > 1 else 0.0
            if best is None or rate > best[0]:
                model.load_state_dict(start)
                step.reset()
                best = (rate, note, model, step)
        return best[1:]

    def train_chunk(self):
        chunk = self.chunks.advance()
        if chunk == 0 and self.job.shuffle:
            self.order = torch.randperm(len(self.y))
        samples = 0
        for begin, end in batch_bounds(self.job, len(self.y), chunk):
            if self.job.shuffle:
                rows = self.order[begin:end]
                x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            else:
                x, y = self.x[begin:end], self.y[begin:end]
            self.step(x, y)
            samples += end - begin
        return samples

    def accuracy(self):
        self.model.eval()
        with torch.no_grad():
            logits = self.model(self.test_x)
        self.model.train()
        guess = logits[:, 0] > 0 if self.job.logistic else logits.argmax(dim=1)
        return float((guess == self.test_y).double().mean())


def steps_per_second(step, x, y):
    for _ in range(5):
        step(x, y)
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < TRIAL_SECONDS:
        step(x, y)
        count += 1
    return count / (time.perf_counter() - begin)

"""PyTorch's side: the network of the published CIFAR-10 studies, its data in memory.

What a careful user writes: images normalised once, rows gathered by index_select, channels-last
memory, no DataLoader. Eager and torch.compile; float32 and bf16 autocast.
"""

import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IMAGE = (3, 32, 32)


def read_batches(paths):
    """CIFAR-10's binary version as float32 [N, 3, 32, 32] in [0, 1] and int64 labels."""
    rows = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 3073) for path in paths])
    images = rows[:, 1:].reshape(-1, *IMAGE).astype(np.float32) * np.float32(1 / 255)
    return torch.from_numpy(images), torch.from_numpy(rows[:, 0].astype(np.int64))


def read_checkpoint(path):
    """{PyTorch's name: tensor} of a safetensors file that Lockstep wrote."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    names = json.loads(header.pop("__metadata__")["lockstep"])["torch"]
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(raw[begin:end], "<f4").reshape(entry["shape"])
        tensors[names[name]] = torch.from_numpy(values.copy())
    return tensors


def make_network():
    """The modules that Lockstep's `torch` names count."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2304, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def losses(checkpoint, images, labels, batch, steps, rate, momentum, dtype=torch.float32):
    """Of each of the first steps, in the order in which the data lie."""
    network = make_network().to(dtype)
    network.load_state_dict(read_checkpoint(checkpoint))
    images = images[: batch * steps].to(dtype)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    found = []
    for k in range(steps):
        rows = slice(k * batch, (k + 1) * batch)
        loss = F.cross_entropy(network(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


class Trainer:
    """One way to train. train(n) takes n steps of shuffled batches and returns samples a second."""

    def __init__(self, images, labels, batch, compiled=False, bf16=False):
        torch.manual_seed(1)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels, self.batch, self.bf16 = labels, batch, bf16
        self.network = make_network().to(memory_format=torch.channels_last).train()
        self.forward = torch.compile(self.loss, dynamic=False) if compiled else self.loss
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=0.01, momentum=0.9, foreach=True
        )
        self.rows = iter(())

    def loss(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            return F.cross_entropy(self.network(x), y)

    def next_rows(self):
        rows = next(self.rows, None)
        if rows is None or len(rows) < self.batch:
            self.rows = iter(torch.randperm(len(self.labels)).split(self.batch))
            rows = next(self.rows)
        return rows

    def train(self, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            rows = self.next_rows()
            loss = self.forward(
                self.images.index_select(0, rows), self.labels.index_select(0, rows)
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return steps * self.batch / (time.perf_counter() - begin)


VARIANTS = {
    "PyTorch eager": {},
    "PyTorch compiled": {"compiled": True},
    "PyTorch eager bf16": {"bf16": True},
    "PyTorch compiled bf16": {"compiled": True, "bf16": True},
}

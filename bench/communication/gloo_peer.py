"""PyTorch on gloo: two processes of one thread each. Rank 0 answers questions, a line of JSON each,
on its standard input; it starts rank 1, which follows.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

JOBS = {  # layers, global batch, dropout
    "mlp-mnist": ((784, 256, 128, 10), 256, 0.0),
    "mlp-adam": ((784, 512, 256, 128, 10), 32, 0.2),
}
SECONDS = 0.5


def make(name):
    layers, batch, dropout = JOBS[name]
    torch.manual_seed(1)
    modules = []
    for index, (inputs, outputs) in enumerate(zip(layers, layers[1:])):
        modules.append(nn.Linear(inputs, outputs))
        if index + 2 < len(layers):
            modules.append(nn.ReLU())
            if dropout:
                modules.append(nn.Dropout(dropout))
    network = nn.Sequential(*modules)
    if name == "mlp-adam":
        optimizer = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-5, fused=True)
    else:
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, fused=True)
    return network, optimizer, batch


class Training:
    """Steps over random data of MNIST's shape, rows gathered by index_select as in bench/peers."""

    def __init__(self, name, ranks):
        network, self.optimizer, batch = make(name)
        self.network = DistributedDataParallel(network, gradient_as_bucket_view=True) \
            if ranks > 1 else network  # fmt: skip
        self.share = batch // ranks
        self.batch = batch
        self.x, self.y = torch.rand(20000, 784), torch.randint(0, 10, (20000,))
        self.order = torch.randperm(20000)

    def steps(self, count):
        for step in range(count):
            at = step * self.share % (20000 - self.share)
            rows = self.order[at : at + self.share]
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            loss = F.cross_entropy(self.network(x), y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


trainings = {}


def answer(question):
    """What each rank does; the answer is rank 0's."""
    if question["do"] == "version":
        return {"torch": torch.__version__}
    if question["do"] == "all_reduce":
        values = torch.zeros(question["bytes"] // 4)
        count = max(3, min(2000, int(2e8 / question["bytes"])))
        for _ in range(3):
            dist.all_reduce(values)
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(count):
            dist.all_reduce(values)
        return {"seconds": (time.perf_counter() - begin) / count}
    key = question["job"], question["ranks"]
    if question["ranks"] == 1 and dist.get_rank() > 0:
        return {}
    fresh = key not in trainings
    if fresh:
        trainings[key] = Training(*key)
        trainings[key].steps(20)
    training = trainings[key]
    begin = time.perf_counter()
    training.steps(20)
    spent = torch.tensor([time.perf_counter() - begin])
    if question["ranks"] > 1:
        dist.all_reduce(spent, op=dist.ReduceOp.MAX)  # so that both take as many steps
    count = max(20, int(20 * SECONDS / spent.item()))
    begin = time.perf_counter()
    training.steps(count)
    return {"samples_per_second": count * training.batch / (time.perf_counter() - begin)}


def join(rank, store):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[rank % len(cpus)]})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)


def serve():
    store = Path(tempfile.mkdtemp()) / "store"
    follower = subprocess.Popen([sys.executable, __file__, str(store)], stdout=sys.stderr)
    join(0, store)
    for line in sys.stdin:
        question = json.loads(line)
        dist.broadcast_object_list([question], src=0)
        print(json.dumps(answer(question)), flush=True)
        dist.barrier()
    dist.broadcast_object_list([None], src=0)
    follower.wait()


def follow(store):
    join(1, store)
    while True:
        words = [None]
        dist.broadcast_object_list(words, src=0)
        if words[0] is None:
            return
        answer(words[0])
        dist.barrier()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        follow(sys.argv[1])
    else:
        serve()

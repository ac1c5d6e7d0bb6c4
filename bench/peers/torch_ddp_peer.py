"""PyTorch DistributedDataParallel: two processes of one thread each, gloo, the same global batch.

The process that serves is rank 0; it starts rank 1, which follows its commands.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from data import load
from jobs import JOBS
from torch_peer import make_model, make_optimizer, mean_loss
from training import Chunks, batch_bounds

RANKS = 2


def versions():
    return {}


def variants(job, threads):
    if threads != RANKS:
        return {}
    return {"PyTorch DDP, 2 processes": lambda data: Leader(job, data)}


def join(rank, store):
    """One thread and one core for each rank."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[rank % len(cpus)]})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)


class Leader:
    note = "one thread each, gloo, fused optimizer"

    def __init__(self, job, data):
        if not dist.is_initialized():
            start_follower()
        self.command("build", job.name)
        self.replica = Replica(job, data, rank=0)

    def command(self, *words):
        dist.broadcast_object_list([words], src=0)

    def train_chunk(self):
        self.command("train")
        return self.replica.train_chunk()

    def accuracy(self):
        return self.replica.accuracy()


def start_follower():
    store = Path(tempfile.mkdtemp()) / "store"
    mnist, cache = os.environ["PEERS_MNIST"], os.environ["PEERS_CACHE"]
    # The follower ends when its standard input does, which is when this process does.
    subprocess.Popen(
        [sys.executable, __file__, str(store), mnist, cache],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
    )
    join(0, store)


def follow(store, mnist, cache):
    join(1, store)
    replica = None
    while True:
        words = [None]
        dist.broadcast_object_list(words, src=0)
        if words[0][0] == "build":
            job = JOBS[words[0][1]]
            replica = Replica(job, load(job, mnist, cache), rank=1)
        else:
            replica.train_chunk()


class Replica:
    def __init__(self, job, data, rank):
        self.job, self.rank, self.chunks = job, rank, Chunks(job)
        self.x = torch.from_numpy(data.x)
        self.y = torch.from_numpy(data.y).to(torch.float32 if job.logistic else torch.int64)
        self.test_x, self.test_y = torch.from_numpy(data.test_x), torch.from_numpy(data.test_y)
        self.order_random = torch.Generator().manual_seed(1)
        torch.manual_seed(rank)
        self.model = make_model(job)
        self.parallel = DistributedDataParallel(self.model, gradient_as_bucket_view=True)
        self.optimizer = make_optimizer(job, self.model.parameters(), fused=True)

    def share(self, begin, end):
        size = end - begin
        return begin + self.rank * size // RANKS, begin + (self.rank + 1) * size // RANKS

    def train_chunk(self):
        chunk = self.chunks.advance()
        if chunk == 0 and self.job.shuffle:
            self.order = torch.randperm(len(self.y), generator=self.order_random)
        samples = 0
        for begin, end in batch_bounds(self.job, len(self.y), chunk):
            first, last = self.share(begin, end)
            if self.job.shuffle:
                rows = self.order[first:last]
                x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            else:
                x, y = self.x[first:last], self.y[first:last]
            loss = mean_loss(self.job, self.parallel(x), y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            samples += end - begin
        return samples

    def accuracy(self):
        self.model.eval()
        with torch.no_grad():
            logits = self.model(self.test_x)
        self.model.train()
        guess = logits[:, 0] > 0 if self.job.logistic else logits.argmax(dim=1)
        return float((guess == self.test_y).double().mean())


if __name__ == "__main__":
    import threading

    def end_with_the_leader():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_the_leader, daemon=True).start()
    follow(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

"""PyTorch on a GPU: data, order and everything else on the device, nothing waits for the host.

Ways to write a step, each in float32, TF32 and bf16 (autocast):
  eager            the usual loop, fused optimizer
  CUDA graph       the same step captured and replayed, the gather of its batch included
  compiled         torch.compile(mode="reduce-overhead") of the whole step
  compiled graph   torch.compile of the whole step, captured and replayed as above
and where asked for, since the search takes minutes a job:
  autotuned        torch.compile(mode="max-autotune") of the whole step
  autotuned graph  the same without its own CUDA graphs, captured and replayed as above
An epoch's short last batch is left out, which only helps PyTorch. Runs on a CPU as well, for a try.
"""

import time

import torch
from torch import nn

import torch_peer
from training import initial_weights

WARM_UP_STEPS = 3  # before a capture, as PyTorch's manual asks


def versions():
    found = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    if torch.cuda.is_available():
        found["cudnn"] = torch.backends.cudnn.version()
    return found


class Batches:
    """Rows of the data on the device, in an order drawn there each epoch."""

    def __init__(self, job, x, y):
        self.job, self.x, self.y = job, x, y
        self.steps = len(y) // job.batch
        self.order = torch.arange(len(y), device=x.device)
        self.rows = torch.arange(job.batch, device=x.device)
        self.position = torch.zeros((), dtype=torch.int64, device=x.device)

    def new_epoch(self):
        if self.job.shuffle:
            torch.randperm(len(self.y), out=self.order)
            self.position.zero_()

    def batch(self, step):
        begin = step * self.job.batch
        if not self.job.shuffle:
            return self.x[begin : begin + self.job.batch], self.y[begin : begin + self.job.batch]
        rows = self.order[begin : begin + self.job.batch]
        return self.x.index_select(0, rows), self.y.index_select(0, rows)

    def next(self):
        """The next batch of the order; its place is on the device, so that this can be captured."""
        rows = self.order.index_select(0, self.rows + self.position)
        self.position.add_(self.job.batch)
        return self.x.index_select(0, rows), self.y.index_select(0, rows)


def eager_step(job, model, bf16, captured=False):
    if job.logistic:
        return torch_peer.ByHandStep(job, model)
    kind = {"fused": True}
    if captured and job.optimizer == "adam":
        kind["capturable"] = True
    return torch_peer.EagerStep(job, model, bf16, kind)


def compiled_step(job, model, bf16, mode):
    if job.logistic:
        return torch_peer.ByHandStep(job, model, compiled=True, mode=mode)
    return torch_peer.WholeStep(job, model, bf16, mode)


class Images(nn.Module):
    """Rows of 32 x 32 x 3 values as images in channels-last memory: nothing is moved."""

    def forward(self, x):
        return x.view(len(x), 32, 32, 3).permute(0, 3, 1, 2)


def make_model(job):
    if job.data != "cifar10":
        return torch_peer.make_model(job, initial_weights(job))
    return nn.Sequential(
        Images(),
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2304, 128), nn.ReLU(), nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip


class Trainer:
    """Step by step from the host."""

    def __init__(self, job, data, build):
        torch.manual_seed(1)
        self.job, self.batches = job, Batches(job, *data)
        device = self.batches.x.device
        self.model = make_model(job).to(device).train()
        self.step = build(self.model)

    def train_epoch(self):
        """Samples trained."""
        self.batches.new_epoch()
        for step in range(self.batches.steps):
            self.step(*self.batches.batch(step))
        return self.batches.steps * self.job.batch

    def accuracy(self, samples=10_000):
        """Of training samples, dropout off."""
        self.model.eval()
        with torch.no_grad():
            logits = self.model(self.batches.x[:samples].float())
        self.model.train()
        y = self.batches.y[:samples]
        guess = logits[:, 0] > 0 if self.job.logistic else logits.argmax(dim=1)
        return float((guess == y).double().mean())


class GraphTrainer(Trainer):
    """One replay a step; without a new order, one replay an epoch."""

    def __init__(self, job, data, build):
        super().__init__(job, data, build)
        self.whole_epoch = not job.shuffle
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self.step(*self.batches.batch(0))
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            if self.whole_epoch:
                for step in range(self.batches.steps):
                    self.step(*self.batches.batch(step))
            else:
                self.step(*self.batches.next())

    def train_epoch(self):
        self.batches.new_epoch()
        for _ in range(1 if self.whole_epoch else self.batches.steps):
            self.graph.replay()
        return self.batches.steps * self.job.batch


def use(precision):
    """The float32 products of what runs next, convolutions' among them."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True  # the fastest of cuDNN's algorithms


def variants(job, device, precisions, autotune):
    """{name: (precision, data -> trainer)}."""
    found = {}
    for precision in precisions:
        bf16 = precision == "bf16"

        def eager(data, bf16=bf16):
            return Trainer(job, data, lambda model: eager_step(job, model, bf16))

        def graph(data, bf16=bf16):
            return GraphTrainer(job, data, lambda model: eager_step(job, model, bf16, True))

        def compiled(mode, trainer=Trainer, bf16=bf16):
            return lambda data: trainer(job, data, lambda m: compiled_step(job, m, bf16, mode))

        ways = {"eager": eager}
        if device == "cuda":
            ways |= {
                "compiled": compiled("reduce-overhead"),
                "CUDA graph": graph,
                "compiled graph": compiled("default", GraphTrainer),
            }
        else:
            ways["compiled"] = compiled("default")
        if autotune and device == "cuda":
            ways |= {
                "autotuned": compiled("max-autotune"),
                "autotuned graph": compiled("max-autotune-no-cudagraphs", GraphTrainer),
            }
        elif autotune:
            ways["autotuned"] = compiled("max-autotune-no-cudagraphs")
        for name, build in ways.items():
            found[f"PyTorch {name}, {precision}"] = (precision, build)
    return found


def measure_limits(device, precisions, size=8192):
    """Device copy bandwidth (bytes read and written) and the rate of a large product."""
    limits = {"copy_gb_s": None, "tflops": {}}
    elements = (1 << 28) if device == "cuda" else (1 << 22)
    source, target = (torch.empty(elements, device=device) for _ in range(2))
    limits["copy_gb_s"] = 2 * 4 * elements / seconds_of(lambda: target.copy_(source), device) / 1e9
    size = size if device == "cuda" else 512
    for precision in precisions:
        use(precision)
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
        limits["tflops"][precision] = 2 * size**3 / seconds_of(lambda: a @ b, device) / 1e12
    return limits


def seconds_of(action, device, repeats=10):
    """Of one; the fastest of three series."""

    def series():
        begin = time.perf_counter()
        for _ in range(repeats):
            action()
        synchronize(device)
        return (time.perf_counter() - begin) / repeats

    action()
    synchronize(device)
    return min(series() for _ in range(3))


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()

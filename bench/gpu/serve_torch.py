"""PyTorch's contestants in one process that stays warm: requests and replies are lines of JSON.

  {"do": "limits"}                                    -> {"copy_gb_s", "tflops": {precision: ...}}
  {"do": "variants", "job", "precisions", "autotune"} -> {"variants": {name: precision}, "versions"}
  {"do": "prepare", "job", "variant"}                 -> {"accuracy", "epoch_seconds", "note"}
  {"do": "time", "variant", "epochs"}                 -> {"samples", "seconds"}
  {"do": "forget"}                                    -> {}
A failure is {"error": text}.

  serve_torch.py --device cuda|cpu [--mnist FOLDER] [--cifar FILE]   serves
  serve_torch.py --device cuda|cpu --quick              trains every variant of every job for a
                                                        moment instead; exit code 1 where one fails
"""

import argparse
import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))

import torch  # noqa: E402

import cifar as cifar_data  # noqa: E402
import data as peers_data  # noqa: E402
import torch_gpu_peer as peer  # noqa: E402
from gpu_jobs import GPU_JOBS, precisions_of, samples_of  # noqa: E402

QUICK_SAMPLES, QUICK_BATCH = 256, 64


def load(job, device, mnist, cifar, most):
    """(x, y) on the device; without MNIST, random rows whose largest of ten sums is the class."""
    torch.manual_seed(1)
    if job.data == "cifar10" and cifar:
        x, y = map(torch.from_numpy, cifar_data.load(cifar, most))
    elif job.data == "mnist" and mnist:
        loaded = peers_data.load_mnist(Path(mnist))
        x, y = torch.from_numpy(loaded.x)[:most], torch.from_numpy(loaded.y)[:most]
    else:
        rows = min(samples_of(job), most or samples_of(job))
        x = torch.randn(rows, job.widths[0])
        x *= 1.0 if job.logistic else 0.33  # about as long as MNIST's rows
        sums = x @ torch.randn(job.widths[0], job.widths[-1])
        y = (sums[:, 0] > 0).long() if job.logistic else sums.argmax(dim=1)
    y = y.float() if job.logistic else y.long()
    return x.to(device), y.to(device)


class Server:
    def __init__(self, device, mnist, cifar=None, most=None, jobs=GPU_JOBS):
        self.device, self.mnist, self.cifar = device, mnist, cifar
        self.most, self.jobs = most, jobs
        self.trainers, self.data, self.job = {}, None, None

    def limits(self, request):
        return peer.measure_limits(self.device, ("fp32", "tf32", "bf16"))

    def variants(self, request):
        job = self.jobs[request["job"]]
        found = peer.variants(job, self.device, request["precisions"], request["autotune"])
        names = {name: precision for name, (precision, _) in found.items()}
        return {"variants": names, "versions": peer.versions()}

    def prepare(self, request):
        """Trains long enough to warm up and to compare the accuracy."""
        job = self.jobs[request["job"]]
        if self.job != job:
            self.job = job
            self.data = load(job, self.device, self.mnist, self.cifar, self.most)
        data = self.data
        found = peer.variants(job, self.device, [request["precision"]], autotune=True)
        precision, build = found[request["variant"]]
        if precision == "bf16" and job.logistic:
            data = (data[0].bfloat16(), data[1])
        peer.use(precision)
        trainer = build(data)
        self.trainers[request["variant"]] = (precision, trainer)
        for _ in range(job.check_epochs):
            _, seconds = self.timed(trainer, 1)
        return {"accuracy": trainer.accuracy(), "epoch_seconds": seconds, "note": ""}

    def timed(self, trainer, epochs):
        peer.synchronize(self.device)
        begin = time.perf_counter()
        samples = sum(trainer.train_epoch() for _ in range(epochs))
        peer.synchronize(self.device)
        return samples, time.perf_counter() - begin

    def time(self, request):
        precision, trainer = self.trainers[request["variant"]]
        peer.use(precision)
        samples, seconds = self.timed(trainer, request["epochs"])
        return {"samples": samples, "seconds": seconds}

    def forget(self, request):
        self.trainers.clear()
        torch.compiler.reset()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return {}

    def answer(self, request):
        try:
            return getattr(self, request["do"])(request)
        except Exception as error:  # one that fails is reported, and the others go on
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def quick(device, mnist, autotune):
    """0 where every variant of every job trains."""
    # Jobs that differ in their batch alone are one here.
    small = {"batch": QUICK_BATCH, "check_epochs": 1}
    jobs = {(job.widths, job.optimizer): replace(job, **small) for job in GPU_JOBS.values()}
    jobs = {job.name: job for job in jobs.values()}
    torch.set_num_threads(1)
    server, failed = Server(device, mnist, None, QUICK_SAMPLES, jobs), 0
    print(json.dumps(server.answer({"do": "limits"})))
    for name, job in jobs.items():
        request = {"job": name, "precisions": precisions_of(job), "autotune": autotune}
        found = server.answer(request | {"do": "variants"})
        for variant, precision in found["variants"].items():
            request = {"job": name, "variant": variant, "precision": precision, "epochs": 1}
            reply = server.answer(request | {"do": "prepare"})
            if "error" not in reply:
                reply |= server.answer(request | {"do": "time"})
            failed += "error" in reply
            print(f"{name}, {variant}: {json.dumps(reply)}", flush=True)
        server.answer({"do": "forget"})
    return 1 if failed else 0


def serve(device, mnist, cifar):
    # What a library prints on stdout must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(device, mnist, cifar)
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), file=replies, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--cifar", type=Path, help="a file of CIFAR-10's records")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--autotune", action="store_true", help="with --quick: max-autotune as well")
    arguments = parser.parse_args()
    if arguments.quick:
        return quick(arguments.device, arguments.mnist, arguments.autotune)
    serve(arguments.device, arguments.mnist, arguments.cifar)


if __name__ == "__main__":
    sys.exit(main())

"""The jobs that are timed on a GPU: those of bench/peers, large batches, and convolutions.

Standard library only.
"""

from dataclasses import dataclass, replace

from jobs import JOBS, Job


@dataclass(frozen=True)
class CnnJob(Job):
    """The network of the published CIFAR-10 studies. `widths`: inputs, channels, features."""

    layers = (  # weights of a layer, uses of each in a sample's forward pass, biases
        (3 * 3 * 3 * 32, 30 * 30, 32),  # the outputs that pooling keeps
        (3 * 3 * 32 * 64, 12 * 12, 64),
        (2304 * 128, 1, 128),
        (128 * 10, 1, 10),
    )

    @property
    def parameters(self) -> int:
        return sum(weights + biases for weights, _, biases in self.layers)

    @property
    def flop_per_sample(self) -> int:
        products = [weights * uses for weights, uses, _ in self.layers]
        return 6 * sum(products) - 2 * products[0]


def cnn(batch, accuracy, check_epochs):
    return CnnJob(name=f"cnn-{batch}", data="cifar10", widths=(3072, 32, 64, 128, 10), batch=batch,
                  optimizer="sgd", learning_rate=0.01, momentum=0.9, check_epochs=check_epochs,
                  accuracy=accuracy)  # fmt: skip


# The accuracy is of the training data: that they learn, not how well.
GPU_JOBS = {
    job.name: job
    for job in (
        replace(JOBS["mlp-mnist"], name="mlp-256", accuracy=0.9),
        replace(JOBS["logistic-1m"], name="logistic-8k", accuracy=0.98),
        replace(JOBS["mlp-adam"], name="mlp-adam-32", accuracy=0.9, chunks=1),
        replace(JOBS["mlp-mnist"], name="mlp-8k", batch=8192, accuracy=0.4),
        replace(JOBS["logistic-1m"], name="logistic-1m-at-once", batch=1_000_000, accuracy=0.8),
        cnn(128, accuracy=0.35, check_epochs=2),
        cnn(1024, accuracy=0.2, check_epochs=3),
    )
}

STAGE_SECONDS = 1.3e-6  # latency of a kernel inside a CUDA graph


def samples_of(job):
    return {"mnist": 60_000, "cifar10": 50_000}.get(job.data, 1_000_000)


def precisions_of(job):
    """Logistic regression multiplies nothing on tensor cores: TF32 is float32."""
    return ("fp32", "bf16") if job.logistic else ("fp32", "tf32", "bf16")


def stages_of(job):
    """Kernels that wait for one another in a step: each layer forward and backward, and the update.
    Logistic regression is one."""
    return 1 if job.logistic else 2 * (len(job.widths) - 1) + 1


def floor(job, precision, limits):
    """{what limits: microseconds a step}. `limits`: {"copy_gb_s", "tflops": {precision: ...}}.

    Bytes: the batch's features and labels read, and parameters and optimizer state read and written
    (caches may hold the latter). FLOP as bench/peers counts them, at the rate of a large product.
    """
    feature_bytes = 2 if precision == "bf16" and job.logistic else 4
    if job.data in ("mnist", "cifar10"):
        feature_bytes = 1
    data = job.batch * (feature_bytes * job.widths[0] + 4)
    values = {"adam": 3, "sgd": 2 if job.momentum else 1}[job.optimizer]
    update = 2 * 4 * values * job.parameters
    flop = job.batch * job.flop_per_sample
    return {
        "bytes": (data + update) / limits["copy_gb_s"] * 1e-3,
        "FLOP": flop / limits["tflops"][precision] * 1e-6,
        "stages": stages_of(job) * STAGE_SECONDS * 1e6,
    }

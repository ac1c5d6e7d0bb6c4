"""The jobs that Lockstep and its peers both train. Standard library only."""

from dataclasses import dataclass

# The synthetic data as NPY files: features and labels, training and test part.
SYNTHETIC_FILES = ("logistic_x.npy", "logistic_y.npy", "logistic_test_x.npy", "logistic_test_y.npy")


@dataclass(frozen=True)
class Job:
    name: str
    data: str  # "synthetic" or "mnist"
    widths: tuple[int, ...]  # inputs, hidden layers, outputs
    batch: int  # global
    optimizer: str  # "sgd" or "adam"
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.0
    shuffle: bool = True
    chunks: int = 1  # parts of an epoch that a peer can be timed over; they divide its batches
    check_epochs: int = 1  # before the timing: warms up, and must reach the accuracy
    accuracy: float = 0.0  # on the test part, after check_epochs

    @property
    def logistic(self) -> bool:
        return self.widths[-1] == 1

    @property
    def parameters(self) -> int:
        return sum((i + 1) * o for i, o in zip(self.widths, self.widths[1:]))

    @property
    def flop_per_sample(self) -> int:
        """Forward 2 and backward 4 a weight; the first layer computes no input gradient."""
        weights = [i * o for i, o in zip(self.widths, self.widths[1:])]
        return 6 * sum(weights) - 2 * weights[0]

    @property
    def data_bytes_per_sample(self) -> int:
        """float32 features and an int32 label."""
        return 4 * self.widths[0] + 4


JOBS = {
    job.name: job
    for job in (
        Job(
            name="logistic-1m",
            data="synthetic",
            widths=(20, 1),
            batch=8192,
            optimizer="sgd",
            learning_rate=0.1,
            shuffle=False,
            check_epochs=8,
            accuracy=0.998,
        ),
        Job(
            name="mlp-mnist",
            data="mnist",
            widths=(784, 256, 128, 10),
            batch=256,
            optimizer="sgd",
            learning_rate=0.1,
            momentum=0.9,
            check_epochs=3,
            accuracy=0.960,
        ),
        Job(
            name="mlp-adam",
            data="mnist",
            widths=(784, 512, 256, 128, 10),
            batch=32,
            optimizer="adam",
            learning_rate=1e-3,
            weight_decay=1e-5,
            dropout=0.2,
            chunks=5,
            check_epochs=1,
            accuracy=0.955,
        ),
    )
}

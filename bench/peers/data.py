"""The data of the jobs as NumPy arrays: the same bytes for every peer and for Lockstep."""

import gzip
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs import SYNTHETIC_FILES

SYNTHETIC_ROWS = 1_000_000


@dataclass(frozen=True)
class Data:
    x: np.ndarray  # float32 [N, d]
    y: np.ndarray  # int64 [N]
    test_x: np.ndarray
    test_y: np.ndarray


def load(job, mnist: Path, cache: Path) -> Data:
    return load_mnist(mnist) if job.data == "mnist" else load_synthetic(cache)


def read_idx(path: Path) -> np.ndarray:
    """One IDX file of unsigned bytes, plain or .gz."""
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">i4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load_mnist(folder: Path) -> Data:
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
        scaled = images.reshape(len(images), -1).astype(np.float32) * np.float32(1 / 255)
        parts += [scaled, labels.astype(np.int64)]
    return Data(*parts)


def load_synthetic(cache: Path) -> Data:
    """The NPY files that write_synthetic made."""
    return Data(*(np.load(cache / name) for name in SYNTHETIC_FILES))


def write_synthetic(cache: Path) -> None:
    """Standard-normal features, labels from a hidden linear rule."""
    if all((cache / name).exists() for name in SYNTHETIC_FILES):
        return
    random = np.random.default_rng(1)
    rule = random.standard_normal(20, dtype=np.float32)
    rows = SYNTHETIC_ROWS + SYNTHETIC_ROWS // 10
    x = random.standard_normal((rows, 20), dtype=np.float32)
    y = (x @ rule > 0).astype(np.int64)
    cache.mkdir(parents=True, exist_ok=True)
    arrays = (x[:SYNTHETIC_ROWS], y[:SYNTHETIC_ROWS], x[SYNTHETIC_ROWS:], y[SYNTHETIC_ROWS:])
    for name, array in zip(SYNTHETIC_FILES, arrays):
        np.save(cache / name, array)


if __name__ == "__main__":
    write_synthetic(Path(sys.argv[1]))

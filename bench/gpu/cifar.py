"""CIFAR-10's images for the jobs of convolutional networks. Standard library only but for load().

One file of records, a label and 3 x 32 x 32 bytes each, which Lockstep and PyTorch both read: the
published training batches where they are, else random images of the same shape, each class with a
bright bar in a place of its own, so that a network learns them.
"""

import os
import random
from pathlib import Path

from build import ROOT

RECORD = 1 + 3 * 32 * 32
RANDOM_RECORDS = 50_000


def find_cifar(given=None):
    """The folder of CIFAR-10's binary batches: given, else where Lockstep's tests look; or None."""
    cache = os.environ.get("LOCKSTEP_DATA", Path.home() / ".cache" / "lockstep")
    folders = [Path(f) / "cifar10" for f in (cache, ROOT / "data", ROOT.parent / "shared" / "data")]
    for folder in [Path(given)] if given else folders:
        if list(folder.glob("data_batch_*.bin")):
            return folder.resolve()
    return None


def records_file(folder, cache):
    """Path of one file of all training records; written to `cache` where it is not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / ("cifar10.bin" if folder else "cifar10-random.bin")
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        if folder:
            for batch in sorted(folder.glob("data_batch_*.bin")):
                file.write(batch.read_bytes())
        else:
            generator = random.Random(1)
            for number in range(RANDOM_RECORDS):
                file.write(random_record(generator, number % 10))
    unfinished.rename(path)
    return path


def random_record(generator, label):
    """Noise; of one plane three rows, which the label chooses, are bright."""
    image = bytearray(generator.randbytes(RECORD - 1))
    plane, row = label % 3, 3 * label
    begin = plane * 1024 + row * 32
    image[begin : begin + 96] = b"\xff" * 96
    return bytes([label]) + image


def load(path, most=None):
    """(float32 images in [0, 1], a row of 32 x 32 x 3 values each, int64 labels) as NumPy arrays."""
    import numpy as np

    rows = np.fromfile(path, np.uint8).reshape(-1, RECORD)[:most]
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).astype(np.float32)
    return images.reshape(len(rows), -1) * np.float32(1 / 255), rows[:, 0].astype(np.int64)

"""What every peer shares: the order of batches, initial weights, and the form of a trainer.

A trainer has
  train_chunk() -> int   trains the next 1/job.chunks of an epoch, returns the samples it took
  accuracy() -> float    on the test part, dropout off
  note: str              what was chosen among several ways to write it, "" if nothing
and trains through an epoch's short last batch, as Lockstep does.
"""

import numpy as np


def initial_weights(job, seed=1):
    """[(weight [out, in], bias [out])], float32, of the distribution that Lockstep starts from:
    uniform within sqrt(6 / inputs) before a ReLU and sqrt(3 / inputs) for the last layer, biases
    zero; logistic regression starts from zeros."""
    random = np.random.default_rng(seed)
    pairs = []
    for inputs, outputs in zip(job.widths, job.widths[1:]):
        last = len(pairs) + 2 == len(job.widths)
        bound = 0.0 if job.logistic else np.sqrt((3 if last else 6) / inputs)
        weight = random.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
        pairs.append((weight, np.zeros(outputs, np.float32)))
    return pairs


def batch_bounds(job, samples, chunk):
    """[begin, end) of each batch in one chunk of an epoch."""
    bounds = [(i, min(i + job.batch, samples)) for i in range(0, samples, job.batch)]
    per_chunk = -(-len(bounds) // job.chunks)
    return bounds[chunk * per_chunk : (chunk + 1) * per_chunk]


class Chunks:
    """Where training stands: counts chunks, and says when a new epoch begins."""

    def __init__(self, job):
        self.job = job
        self.next = 0

    def advance(self):
        """The chunk to train now; 0 begins an epoch."""
        chunk = self.next
        self.next = (chunk + 1) % self.job.chunks
        return chunk

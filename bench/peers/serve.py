"""One library's peers in one process that stays warm: requests and replies are lines of JSON.

  {"do": "variants", "job"}                -> {"variants": [...], "versions": {...}}
  {"do": "prepare", "job", "variant"}      -> {"accuracy", "chunk_seconds", "note"}
  {"do": "time", "variant", "chunks"}      -> {"samples", "seconds"}
  {"do": "forget"}                         -> {}
A failure is {"error": text}. Ends with its standard input.
"""

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

from data import load
from jobs import JOBS


class Server:
    def __init__(self, library, threads):
        self.peers = importlib.import_module(f"{library}_peer")
        self.threads = threads
        self.trainers = {}
        self.job = self.data = None

    def variants(self, request):
        job = JOBS[request["job"]]
        return {
            "variants": list(self.peers.variants(job, self.threads)),
            "versions": self.peers.versions(),
        }

    def prepare(self, request):
        """Trains long enough to warm up and to compare the accuracy."""
        job = JOBS[request["job"]]
        if self.job != job:
            mnist, cache = Path(os.environ["PEERS_MNIST"]), Path(os.environ["PEERS_CACHE"])
            self.job, self.data = job, load(job, mnist, cache)
        name = request["variant"]
        trainer = self.peers.variants(job, self.threads)[name](self.data)
        self.trainers[name] = trainer
        for _ in range(job.check_epochs * job.chunks):
            begin = time.perf_counter()
            trainer.train_chunk()
            seconds = time.perf_counter() - begin
        return {"accuracy": trainer.accuracy(), "chunk_seconds": seconds, "note": trainer.note}

    def time(self, request):
        trainer = self.trainers[request["variant"]]
        begin = time.perf_counter()
        samples = sum(trainer.train_chunk() for _ in range(request["chunks"]))
        return {"samples": samples, "seconds": time.perf_counter() - begin}

    def forget(self, request):
        self.trainers.clear()
        return {}

    def answer(self, request):
        action = {
            "variants": self.variants,
            "prepare": self.prepare,
            "time": self.time,
            "forget": self.forget,
        }[request["do"]]
        try:
            return action(request)
        except Exception as error:  # A peer that fails is reported, and the others go on.
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def main():
    # What a library prints on stdout must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()

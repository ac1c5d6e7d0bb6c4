// When replicas are averaged (--sync-every).
#pragma once

#include "train/worker.h"

namespace lockstep {

// After `batch`, the `batches`-th since the last average.
inline bool average_is_due(const SyncEvery& every, const GlobalBatch& batch, int64_t batches) {
  if (batch.checkpoint_due) return true;
  switch (every.kind) {
    case SyncEvery::Kind::steps: return batch.last_in_epoch || batches >= every.steps;
    case SyncEvery::Kind::epoch: return batch.last_in_epoch;
    case SyncEvery::Kind::end: return false;
  }
  return false;
}

}  // namespace lockstep

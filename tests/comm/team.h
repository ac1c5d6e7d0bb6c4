// Runs a function on W threads as the workers of one group.
#pragma once

#include <functional>

#include "comm/thread_group.h"
#include "train/team.h"

namespace lockstep::testing {

inline void on_workers(int size, const std::function<void(ThreadGroup&, int rank)>& body,
                       double timeout = 20.0) {
  ThreadGroup group(size, timeout, 1);  // as if oversubscribed: tests share their processors
  run_team(group, {}, [&](int rank) { body(group, rank); });
}

}  // namespace lockstep::testing

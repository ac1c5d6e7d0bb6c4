#include "train/processors.h"

#include <sched.h>

namespace lockstep {

std::vector<int> usable_processors() {
  std::vector<int> processors;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) processors.push_back(i);
    }
  }
  if (processors.empty()) processors.push_back(0);
  return processors;
}

RankProcessors divide_processors(ProcessGroup& processes, int threads) {
  RankProcessors own{usable_processors(), 0};
  own.shared = static_cast<int>(own.usable.size());
  if (processes.size() == 1) return own;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  for (const int processor : own.usable) CPU_SET(processor, &mine);
  const std::vector<cpu_set_t> masks = processes.all_gather(mine);
  cpu_set_t all = mine;
  bool bound = false;
  for (const int rank : processes.neighbours()) {
    bound = bound || CPU_EQUAL(&masks[rank], &mine) == 0;
    CPU_OR(&all, &all, &masks[rank]);
  }
  own.shared = CPU_COUNT(&all);
  const auto ranks = processes.neighbours().size();
  const auto each = static_cast<size_t>(threads);
  if (bound || ranks * each > own.usable.size()) return own;
  const size_t first = static_cast<size_t>(processes.place(processes.rank()).neighbour) * each;
  own.usable = {own.usable.begin() + static_cast<std::ptrdiff_t>(first),
                own.usable.begin() + static_cast<std::ptrdiff_t>(first + each)};
  return own;
}

void pin_to(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

}  // namespace lockstep

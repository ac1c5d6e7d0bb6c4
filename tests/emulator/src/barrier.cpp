#include "barrier.h"

#include <cstring>

#include "fault.h"
#include "group.h"
#include "mutation.h"
#include "report.h"
#include "sanitizer.h"

namespace lockstep::emulator {

Barrier::Barrier(unsigned threads) : threads_(threads) {
  waiting_.reserve(threads);
}

unsigned Barrier::arrive(int value) {
  const unsigned phase = phase_;
  order_release(&tokens_[phase & 1]);
  sums_[phase & 1] += value;
  if (++arrived_ == threads_) complete();
  return phase;
}

int Barrier::wait(Thread& thread, unsigned phase, const char* what, Site site) {
  thread.group().count_steps(1);
  if (phase_ == phase) {
    waiting_.push_back(&thread);
    thread.group().suspend(thread, {.what = what, .site = site});
  }
  order_acquire(&tokens_[phase & 1]);
  return sums_[phase & 1];
}

void Barrier::leave(long arrived_phase) {
  --threads_;
  if (arrived_phase == static_cast<long>(phase_)) --arrived_;
  if (threads_ > 0 && arrived_ == threads_) complete();
}

void Barrier::complete() {
  arrived_ = 0;
  ++phase_;
  sums_[phase_ & 1] = 0;
  for (Thread* thread : waiting_) thread->group().wake(*thread);
  waiting_.clear();
}

int block_barrier(int predicate, int* threads, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  if (mutation().left_out("__syncthreads", site)) return predicate != 0;
  Block& block = *thread.block;
  const unsigned ordinal = thread.barriers++;
  if (threads) *threads = static_cast<int>(block.barrier.threads());
  const bool first = ordinal == block.barriers_begun;
  if (first) {
    ++block.barriers_begun;
    if (faults().barrier.next()) block.dropped_barrier = ordinal;
  }
  if (block.dropped_barrier == static_cast<long>(ordinal)) return predicate != 0;
  if (first) block.barrier_site = site;
  if (site.line != block.barrier_site.line ||
      std::strcmp(site.file, block.barrier_site.file) != 0) {
    thread.group().fail(thread,
                        "reached a __syncthreads that is not the one that other threads of the "
                        "block wait for, which is" +
                            describe(block.barrier_site) + ", but one",
                        site);
  }
  const unsigned phase = block.barrier.arrive(predicate != 0);
  return block.barrier.wait(thread, phase, "__syncthreads", site);
}

void cluster_barrier_arrive(Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  if (thread.cluster_phase >= 0)
    thread.group().fail(thread, "arrived twice at a cluster's barrier", site);
  thread.cluster_phase = thread.group().cluster_barrier().arrive(0);
}

void cluster_barrier_wait(Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  if (thread.cluster_phase < 0) {
    thread.group().fail(thread, "waits at a cluster's barrier without having arrived", site);
  }
  const auto phase = static_cast<unsigned>(thread.cluster_phase);
  thread.cluster_phase = -1;
  thread.group().cluster_barrier().wait(thread, phase, "the cluster's barrier", site);
}

}  // namespace lockstep::emulator

#include "comm/mpi_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>

#include "backend/vector_ops.h"
#include "comm/mpi_check.h"
#include "comm/mpi_wait.h"
#include "comm/ring.h"
#include "lockstep/error.h"

namespace lockstep {

namespace {

constexpr int kRoot = 0;

// A count of MPI.
int as_int(size_t value) {
  if (value <= static_cast<size_t>(std::numeric_limits<int>::max())) return static_cast<int>(value);
  throw Error(ErrorKind::communication,
              fmt::format("an all-reduce of {} values: MPI counts to {}", value,
                          std::numeric_limits<int>::max()),
              "use a smaller --bucket-mb");
}

}  // namespace

MpiCommunicator::MpiCommunicator(MpiGroup& group, AllReduceAlgorithm algorithm)
    : group_(group),
      algorithm_(algorithm),
      first_(group.world()),
      second_(group.world()),
      sources_(group.size()) {
  policy_.aborted = &aborted_;
  policy_.timeout = group.policy().timeout;
  policy_.spins = group.policy().spins;
  policy_.reason_to_give_up = group.policy().reason_to_give_up;
}

MpiCommunicator::~MpiCommunicator() {
  if (std::uncaught_exceptions() == 0) return;
  for (Collective& collective : pending_) {
    new Collective(std::move(collective));  // never freed: MPI may still write to it
  }
}

int MpiCommunicator::stages() const {
  switch (algorithm_) {
    case AllReduceAlgorithm::library: return 1;
    case AllReduceAlgorithm::ring: return ring::stages(size());
    case AllReduceAlgorithm::direct:
    case AllReduceAlgorithm::central: break;
  }
  return 2;
}

// Of the library's, what a ring would send: it says not what it does.
int64_t MpiCommunicator::wire_bytes(size_t bytes) const {
  const int64_t others = size() - 1;
  const auto payload = static_cast<int64_t>(bytes);
  if (algorithm_ == AllReduceAlgorithm::central)
    return rank() == kRoot ? others * payload : payload;
  return 2 * others * payload / size();
}

void MpiCommunicator::all_reduce(std::span<float> data) {
  ++counters_.calls;
  counters_.bytes += static_cast<int64_t>(data.size_bytes());
  counters_.wire_bytes += wire_bytes(data.size_bytes());
  if (pending_.empty()) {
    flight_start_ = Clock::now();
    in_calls_ = 0.0;
  }
  ScopedSeconds in_call(in_calls_, trace_, {.phase = TracePhase::exposed_communication});
  if (step_ != group_.step()) {
    step_ = group_.step();
    first_of_step_ = completed_ + static_cast<int64_t>(pending_.size());
  }
  pending_.push_back({.data = data, .requests = {}, .staging = {}, .begin = {}});
  if (trace_) pending_.back().begin = Clock::now();
  // Stages of the ring are point to point: started in order, each behind the one before.
  if (algorithm_ != AllReduceAlgorithm::ring || pending_.size() == 1) start_stage(pending_.back());
  advance();
}

TraceEvent MpiCommunicator::oldest(TracePhase phase) const {
  TraceEvent event{.phase = phase};
  if (trace_ && step_ >= 0) event.bucket = static_cast<int32_t>(completed_ - first_of_step_);
  return event;
}

// All-reduces that are under way at once share the network and end in order: each is drawn from
// where it is the oldest.
void MpiCommunicator::record_oldest() {
  const Clock::time_point end = Clock::now();
  TraceEvent event = oldest(TracePhase::communication);
  event.bytes = static_cast<int64_t>(pending_.front().data.size_bytes());
  event.track = TraceTrack::messages;
  trace_->add(event, std::max(pending_.front().begin, recorded_to_), end);
  recorded_to_ = end;
}

// "in step 12, bucket 3, in an all-reduce".
std::string MpiCommunicator::place() const {
  if (step_ < 0) return "in an all-reduce";
  return fmt::format("in step {}, bucket {}, in an all-reduce", step_ + 1,
                     completed_ - first_of_step_ + 1);
}

void MpiCommunicator::progress() {
  if (pending_.empty()) return;
  {
    ScopedSeconds in_call(in_calls_, trace_, oldest(TracePhase::exposed_communication));
    while (!pending_.empty() && advance()) {
    }
  }
  count_flight_end();
}

void MpiCommunicator::wait() {
  if (pending_.empty()) return;
  {
    ScopedSeconds in_call(in_calls_);
    while (!pending_.empty()) {
      double waited_for_it = 0.0;
      ScopedSeconds waiting(waited_for_it, trace_, oldest(TracePhase::exposed_communication));
      wait_until(
          policy_, [&] { return advance(); },
          [&](double waited, const std::string& reason) {
            give_up_waiting(group_.describe(rank()), place().c_str(), group_.ranks_without_answer(),
                            waited, reason);
          });
    }
  }
  count_flight_end();
}

// Bytes moved from the first all-reduce's start to the last one's end; what was not spent in here,
// the worker computed in.
void MpiCommunicator::count_flight_end() {
  if (!pending_.empty()) return;
  const double flight = seconds_between(flight_start_, Clock::now());
  counters_.communication += flight;
  counters_.hidden += std::max(0.0, flight - in_calls_);
  flight_start_ = Clock::now();
  in_calls_ = 0.0;
}

bool MpiCommunicator::advance() {
  Collective& front = pending_.front();
  if (!test_all(front.requests)) return false;
  finish_stage(front);
  if (++front.stage < stages()) {
    start_stage(front);
    return true;
  }
  if (!front.staging.empty()) staging_.push_back(std::move(front.staging));
  if (trace_) record_oldest();
  pending_.pop_front();
  ++completed_;
  if (algorithm_ == AllReduceAlgorithm::ring && !pending_.empty()) start_stage(pending_.front());
  return true;
}

void MpiCommunicator::start_stage(Collective& collective) {
  switch (algorithm_) {
    case AllReduceAlgorithm::direct: return start_direct(collective);
    case AllReduceAlgorithm::central: return start_central(collective);
    case AllReduceAlgorithm::ring: return start_ring(collective);
    case AllReduceAlgorithm::library: break;
  }
  collective.requests.assign(1, MPI_REQUEST_NULL);
  check_mpi(MPI_Iallreduce(MPI_IN_PLACE, collective.data.data(), as_int(collective.data.size()),
                           MPI_FLOAT, MPI_SUM, first_.get(), collective.requests.data()),
            "MPI_Iallreduce");
}

const MpiCommunicator::Slices& MpiCommunicator::slices_of(size_t size) {
  const auto [found, is_new] = slices_.try_emplace(size);
  Slices& slices = found->second;
  if (!is_new) return slices;
  const size_t own = slice_of({0, size}, rank(), this->size()).size();
  for (int rank = 0; rank < this->size(); ++rank) {
    const Range slice = slice_of({0, size}, rank, this->size());
    slices.counts.push_back(as_int(slice.size()));
    slices.offsets.push_back(as_int(slice.begin));
    slices.own_counts.push_back(as_int(own));
    slices.own_offsets.push_back(as_int(own * static_cast<size_t>(rank)));
  }
  return slices;
}

Buffer<float> MpiCommunicator::take_staging(size_t floats) {
  const auto fits = [&](const Buffer<float>& buffer) { return buffer.size() >= floats; };
  const auto found = std::ranges::find_if(staging_, fits);
  if (found == staging_.end()) return Buffer<float>(floats);
  Buffer<float> taken = std::move(*found);
  staging_.erase(found);
  return taken;
}

// Stage 0: every slice goes to its owner, who folds in rank order. Stage 1: all gather.
void MpiCommunicator::start_direct(Collective& collective) {
  collective.requests.assign(1, MPI_REQUEST_NULL);
  const std::span<float> data = collective.data;
  const Slices& slices = slices_of(data.size());
  if (collective.stage == 0) {
    const auto own = static_cast<size_t>(slices.own_counts[rank()]);
    collective.staging = take_staging(own * static_cast<size_t>(size()));
    check_mpi(MPI_Ialltoallv(data.data(), slices.counts.data(), slices.offsets.data(), MPI_FLOAT,
                             collective.staging.data(), slices.own_counts.data(),
                             slices.own_offsets.data(), MPI_FLOAT, first_.get(),
                             collective.requests.data()),
              "MPI_Ialltoallv");
    return;
  }
  check_mpi(
      MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_FLOAT, data.data(), slices.counts.data(),
                      slices.offsets.data(), MPI_FLOAT, second_.get(), collective.requests.data()),
      "MPI_Iallgatherv");
}

void MpiCommunicator::start_central(Collective& collective) {
  collective.requests.assign(1, MPI_REQUEST_NULL);
  const std::span<float> data = collective.data;
  const int count = as_int(data.size());
  if (collective.stage == 1) {
    check_mpi(
        MPI_Ibcast(data.data(), count, MPI_FLOAT, kRoot, second_.get(), collective.requests.data()),
        "MPI_Ibcast");
    return;
  }
  if (rank() == kRoot) {
    collective.staging = take_staging(data.size() * static_cast<size_t>(size()));
  }
  check_mpi(MPI_Igather(data.data(), count, MPI_FLOAT, collective.staging.data(), count, MPI_FLOAT,
                        kRoot, first_.get(), collective.requests.data()),
            "MPI_Igather");
}

void MpiCommunicator::start_ring(Collective& collective) {
  const int tag = collective.stage;
  const Range from =
      slice_of({0, collective.data.size()}, ring::chunk(rank(), collective.stage, size()), size());
  const int right = ring::right(rank(), size());
  const Range to =
      slice_of({0, collective.data.size()}, ring::chunk(right, collective.stage, size()), size());
  float* target = collective.data.data() + from.begin;
  if (ring::adds(collective.stage, size())) {
    if (collective.staging.empty()) {
      const std::vector<int>& counts = slices_of(collective.data.size()).counts;
      collective.staging = take_staging(static_cast<size_t>(*std::ranges::max_element(counts)));
    }
    target = collective.staging.data();
  }
  collective.requests.assign(2, MPI_REQUEST_NULL);
  check_mpi(MPI_Irecv(target, as_int(from.size()), MPI_FLOAT, ring::left(rank(), size()), tag,
                      first_.get(), &collective.requests[0]),
            "MPI_Irecv");
  check_mpi(MPI_Isend(collective.data.data() + to.begin, as_int(to.size()), MPI_FLOAT, right, tag,
                      first_.get(), &collective.requests[1]),
            "MPI_Isend");
}

void MpiCommunicator::fold(const Collective& collective, std::span<float> to, size_t stride) {
  for (int rank = 0; rank < size(); ++rank) {
    sources_[rank] = collective.staging.data() + stride * static_cast<size_t>(rank);
  }
  sum_in_order(to, sources_);
}

void MpiCommunicator::finish_stage(Collective& collective) {
  switch (algorithm_) {
    case AllReduceAlgorithm::library: return;
    case AllReduceAlgorithm::ring: return finish_ring_stage(collective);
    case AllReduceAlgorithm::direct: {
      if (collective.stage != 0) return;
      const Range own = slice_of({0, collective.data.size()}, rank(), size());
      return fold(collective, collective.data.subspan(own.begin, own.size()), own.size());
    }
    case AllReduceAlgorithm::central:
      if (collective.stage != 0 || rank() != kRoot) return;
      return fold(collective, collective.data, collective.data.size());
  }
}

void MpiCommunicator::finish_ring_stage(Collective& collective) {
  if (!ring::adds(collective.stage, size())) return;
  const Range part =
      slice_of({0, collective.data.size()}, ring::chunk(rank(), collective.stage, size()), size());
  add(collective.data.subspan(part.begin, part.size()), {collective.staging.data(), part.size()});
}

void MpiCommunicator::broadcast(std::span<float> data, int root) {
  ++counters_.calls;
  counters_.bytes += rank() == root ? static_cast<int64_t>(data.size_bytes()) : 0;
  wait();
  ScopedSeconds moving(counters_.communication);
  group_.broadcast(data, root);
}

void MpiCommunicator::barrier() {
  wait();
  ScopedSeconds waiting(counters_.synchronization, trace_, {.phase = TracePhase::synchronization});
  group_.barrier();
}

}  // namespace lockstep

#include "backend/cuda_exchange.h"

#include <algorithm>

#include "backend/profiler_range.h"
#include "kernels/shared_step.h"
#include "kernels/wire.h"

namespace lockstep {

PresentRanks present_ranks(int64_t global_batch, int world_size) {
  PresentRanks present;
  for (int rank = 0; rank < std::min(world_size, kMostFolded); ++rank) {
    if (share_of({0, global_batch}, rank, world_size).size() > 0) present.add(rank);
  }
  return present;
}

CudaExchange::CudaExchange(const DeviceExchange& how, const std::vector<GradientSegment>& segments,
                           float* gradients, size_t floats)
    : how_(how), communicator_(*how.communicator), gradients_(gradients), floats_(floats) {
  for (const GradientSegment& segment : segments) {
    buckets_.push_back(std::make_unique<Bucket>());
    buckets_.back()->ranges = segment.ranges;
  }
  // The tail: next to the topmost gradients where they are in the first bucket.
  std::vector<Range>& first = buckets_.front()->ranges;
  const Range tail{floats, floats + kTailFloats};
  const auto top = std::ranges::find(first, floats, &Range::end);
  if (top != first.end() && how.type == GradientType::fp32) {
    top->end = tail.end;
  } else {
    first.push_back(tail);
  }
  if (how.ordered) received_ = DeviceArray<float>(scratch_floats());
  if (how.type == GradientType::bf16) rounded_ = DeviceArray<__nv_bfloat16>(floats);
}

// What comes of the others for the largest bucket.
size_t CudaExchange::scratch_floats() const {
  size_t most = 0;
  for (const auto& bucket : buckets_) {
    size_t own = 0;
    for (const Range& range : bucket->ranges) {
      own += slice_of(range, communicator_.rank(), communicator_.size()).size();
    }
    most = std::max(most, own);
  }
  return most * static_cast<size_t>(communicator_.size() - 1);
}

void CudaExchange::begin(size_t b, const PresentRanks& present, CudaPhases* marks,
                         cudaStream_t compute) {
  const ProfilerRange range("reduce", static_cast<int64_t>(b));
  Bucket& bucket = *buckets_[b];
  const cudaStream_t stream = communicator_.stream();
  bucket.ready.record(compute);
  bucket.ready.let_wait(stream);
  if (marks) marks->begin(stream);
  if (how_.ordered) {
    reduce_in_order(bucket, present);
  } else if (how_.type == GradientType::bf16) {
    reduce_in_bf16(bucket);
  } else {
    reduce(bucket);
  }
  if (marks) marks->end(&StepSeconds::communication, event_of(b), stream);
  bucket.reduced.record(stream);
}

void CudaExchange::finish(size_t b, cudaStream_t compute) const {
  buckets_[b]->reduced.let_wait(compute);
}

void CudaExchange::reduce(const Bucket& bucket) const {
  std::vector<WireSpan> spans;
  for (const Range& range : bucket.ranges) {
    spans.push_back({gradients_ + range.begin, range.size(), WireType::fp32});
  }
  communicator_.all_reduce(spans);
}

// The tail counts samples: it stays float32.
void CudaExchange::reduce_in_bf16(const Bucket& bucket) const {
  const cudaStream_t stream = communicator_.stream();
  std::vector<WireSpan> spans;
  for (const Range& range : bucket.ranges) {
    if (range.begin >= floats_) {
      spans.push_back({gradients_ + range.begin, range.size(), WireType::fp32});
      continue;
    }
    __nv_bfloat16* const rounded = rounded_.data() + range.begin;
    pack_bf16(gradients_ + range.begin, rounded, range.size(), stream);
    spans.push_back({rounded, range.size(), WireType::bf16});
  }
  communicator_.all_reduce(spans);
  for (const Range& range : bucket.ranges) {
    if (range.begin >= floats_) continue;
    unpack_bf16(rounded_.data() + range.begin, gradients_ + range.begin, range.size(), stream);
  }
}

// Every worker owns a slice of each range: it is given the others' gradients there, adds them in
// rank order, and gives the sum to all.
void CudaExchange::reduce_in_order(const Bucket& bucket, const PresentRanks& present) const {
  const int rank = communicator_.rank(), size = communicator_.size();
  const cudaStream_t stream = communicator_.stream();
  std::vector<Transfer> to_owners, from_others, to_others, from_owners;
  const auto add = [](std::vector<Transfer>& to, int peer, float* data, size_t count) {
    if (count > 0) to.push_back({peer, data, count});
  };
  float* received = received_.data();
  for (const Range& range : bucket.ranges) {
    const Range own = slice_of(range, rank, size);
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      const Range theirs = slice_of(range, peer, size);
      add(to_owners, peer, gradients_ + theirs.begin, theirs.size());
      add(from_others, peer, received, own.size());
      add(to_others, peer, gradients_ + own.begin, own.size());
      add(from_owners, peer, gradients_ + theirs.begin, theirs.size());
      received += own.size();
    }
  }
  communicator_.exchange(to_owners, from_others);
  received = received_.data();
  for (const Range& range : bucket.ranges) {
    const Range own = slice_of(range, rank, size);
    fold_gradients(gradients_ + own.begin, own.size(),
                   {.received = received,
                    .stride = own.size(),
                    .rank = rank,
                    .world_size = size,
                    .present = present},
                   stream);
    received += own.size() * static_cast<size_t>(size - 1);
  }
  communicator_.exchange(to_others, from_owners);
}

int64_t CudaExchange::bytes_of(const Bucket& bucket) const {
  int64_t bytes = 0;
  for (const Range& range : bucket.ranges) {
    const bool bf16 = how_.type == GradientType::bf16 && range.begin < floats_;
    bytes += static_cast<int64_t>(range.size() * (bf16 ? sizeof(__nv_bfloat16) : sizeof(float)));
  }
  return bytes;
}

// For the trace, without the tail.
TraceEvent CudaExchange::event_of(size_t b) const {
  const Bucket& bucket = *buckets_[b];
  Range covered{floats_, 0};
  for (const Range& range : bucket.ranges) {
    if (range.begin >= floats_) continue;
    covered.begin = std::min(covered.begin, range.begin);
    covered.end = std::max(covered.end, std::min(range.end, floats_));
  }
  return {.bytes = bytes_of(bucket),
          .parameters = covered,
          .bucket = static_cast<int32_t>(b),
          .phase = TracePhase::communication,
          .track = TraceTrack::communication_stream};
}

// A ring moves 2 (W - 1) / W of the bytes through each worker, and so does the exchange in order:
// the least that an all-reduce can do with. What NCCL moves when it takes another algorithm it does
// not say.
CommunicationCounters CudaExchange::counters() const {
  CommunicationCounters step;
  const int64_t size = communicator_.size();
  for (const auto& bucket : buckets_) {
    ++step.calls;
    step.bytes += bytes_of(*bucket);
  }
  step.wire_bytes = 2 * (size - 1) * step.bytes / size;
  return step;
}

}  // namespace lockstep

#include "backend/cuda_feed.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace lockstep {
namespace {

class ResidentFeed final : public CudaFeed {
 public:
  ResidentFeed(const EpochJob& job, const CudaData& data) : job_(job), data_(data) {}

  int slots() const override { return 1; }
  CudaBatch part(int, int64_t k, int part, int parts) const override {
    return {
        &data_.resident(*job_.data), &data_.scale(),
        training_rows(*job_.sampler, k, job_.global_batch, job_.rank, job_.world_size, part, parts),
        job_.augmentation};
  }
  void begin(int, uint32_t, int64_t, CudaPhases*, cudaStream_t) override {}
  void end(int, cudaStream_t) override {}

 private:
  EpochJob job_;
  const CudaData& data_;
};

// Pinned memory of the host and the device's copy of it.
struct Slot {
  Slot(const Split& split, int64_t rows)
      : block(split, rows),
        samples(rows),
        host_features(block.features.size()),
        host_labels(block.labels.size()),
        host_samples(rows),
        data(block.data()) {
    data.samples = samples.data();
  }

  DataBlock block;
  DeviceArray<int64_t> samples;
  PinnedArray<unsigned char> host_features;
  PinnedArray<int32_t> host_labels;
  PinnedArray<int64_t> host_samples;
  ResidentData data;
  Event copied;  // the device has the batch: the pinned memory is free again
  Event used;    // the step is over: the device's memory is free again
};

class StreamedFeed final : public CudaFeed {
 public:
  StreamedFeed(const EpochJob& job, const FeatureScale& scale) : job_(job), scale_(scale) {
    // The largest share, and one row where there is none: kernels are given its address.
    const int64_t rows = std::max<int64_t>(job.share(0).size(), 1);
    for (int i = 0; i < kSlots; ++i) slots_.push_back(std::make_unique<Slot>(*job.data, rows));
  }
  ~StreamedFeed() override { (void)cudaStreamSynchronize(copies_.get()); }

  int slots() const override { return kSlots; }

  CudaBatch part(int slot, int64_t k, int part, int parts) const override {
    const int64_t rows = job_.share(k).size();
    return {&slots_[slot]->data, &scale_, consecutive_rows(share_of({0, rows}, part, parts)),
            job_.augmentation};
  }

  void begin(int slot, uint32_t epoch, int64_t k, CudaPhases* marks, cudaStream_t stream) override {
    Slot& into = *slots_[slot];
    into.copied.synchronize();
    const auto rows = gather(into, epoch, job_.share(k));
    into.used.let_wait(copies_.get());
    if (marks) marks->begin(copies_.get());
    copy(into.host_features, rows * row_bytes(), into.block.features);
    copy(into.host_labels, into.host_labels.size() > 0 ? rows : 0, into.block.labels);
    copy(into.host_samples, rows, into.samples);
    if (marks) marks->end(nullptr, copied(rows * row_bytes()), copies_.get());
    into.copied.record(copies_.get());
    into.copied.let_wait(stream);
  }

  void end(int slot, cudaStream_t stream) override { slots_[slot]->used.record(stream); }

 private:
  static constexpr int kSlots = 4;

  size_t row_bytes() const {
    return static_cast<size_t>(job_.data->features.columns) * bytes_of(job_.data->features.type);
  }

  static TraceEvent copied(size_t bytes) {
    return {.bytes = static_cast<int64_t>(bytes),
            .phase = TracePhase::copy,
            .track = TraceTrack::copy_stream};
  }

  size_t gather(const Slot& into, uint32_t epoch, IndexRange positions) const {
    const auto rows = static_cast<size_t>(positions.size());
    const std::span samples(into.host_samples.data(), rows);
    job_.sampler->fill(epoch, positions.begin, samples);
    const auto* features = static_cast<const unsigned char*>(job_.data->features.data);
    const size_t bytes = row_bytes();
    for (size_t i = 0; i < rows; ++i) {
      std::memcpy(into.host_features.data() + i * bytes, features + samples[i] * bytes, bytes);
    }
    if (into.host_labels.size() == 0) return rows;
    for (size_t i = 0; i < rows; ++i) {
      into.host_labels.data()[i] = job_.data->labels[static_cast<size_t>(samples[i])];
    }
    return rows;
  }

  template <class T>
  void copy(const PinnedArray<T>& from, size_t count, const DeviceArray<T>& to) {
    if (count == 0) return;
    check(cudaMemcpyAsync(to.data(), from.data(), count * sizeof(T), cudaMemcpyHostToDevice,
                          copies_.get()),
          "cudaMemcpyAsync");
  }

  EpochJob job_;
  const FeatureScale& scale_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Stream copies_;  // ends first
};

}  // namespace

std::unique_ptr<CudaFeed> make_resident_feed(const EpochJob& job, const CudaData& data) {
  return std::make_unique<ResidentFeed>(job, data);
}

std::unique_ptr<CudaFeed> make_streamed_feed(const EpochJob& job, const FeatureScale& scale) {
  return std::make_unique<StreamedFeed>(job, scale);
}

}  // namespace lockstep

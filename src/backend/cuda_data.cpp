#include "backend/cuda_data.h"

#include <algorithm>
#include <chrono>

#include "lockstep/device.h"

namespace lockstep {

namespace {

size_t device_bytes(const Split& split) {
  return split.features.bytes() + split.labels.size() * sizeof(int32_t);
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace

DataBlock::DataBlock(const Split& split, int64_t rows)
    : type(split.features.type),
      columns(split.features.columns),
      features(rows * columns * bytes_of(type)),
      labels(split.labels.empty() ? 0 : rows) {}

ResidentData DataBlock::data() const {
  return {.features = features.data(), .type = type, .columns = columns, .labels = labels.data()};
}

CudaData::CudaData(const Normalization& normalization, DataPlacement placement, int64_t block_rows,
                   cudaStream_t stream)
    : placement_(placement), block_rows_(block_rows), stream_(stream) {
  if (normalization.identity()) return;
  if (normalization.scale.size() == 1) {
    scale_.common_scale = normalization.scale[0];
    scale_.common_offset = normalization.offset[0];
    return;
  }
  scales_ = DeviceArray<float>(normalization.scale.size());
  offsets_ = DeviceArray<float>(normalization.offset.size());
  scales_.upload(normalization.scale, stream);
  offsets_.upload(normalization.offset, stream);
  scale_.scale = scales_.data();
  scale_.offset = offsets_.data();
}

// `auto` leaves a sixteenth of the memory to whatever else the program and the driver need.
bool CudaData::fits(const Split& split) const {
  const auto needed = static_cast<int64_t>(device_bytes(split));
  const int device = current_device();
  const GpuMemory memory = gpu_memory(device);
  if (placement_ == DataPlacement::automatic) return needed + memory.total / 16 <= memory.free;
  if (needed <= memory.free) return true;
  Error error = gpu_out_of_memory(device, "the data set", needed, memory.free);
  throw Error(ErrorKind::device, error.what(),
              "use --data-placement host, which streams it from the host's memory");
}

DataPlacement CudaData::place(const Split& split) {
  const auto [found, fresh] = copies_.try_emplace(split.features.data);
  Copy& placed = found->second;
  if (!fresh) return placed.placement;
  try {
    const bool on_device = placement_ != DataPlacement::host && fits(split);
    placed.placement = on_device ? DataPlacement::device : DataPlacement::host;
    const int64_t rows = on_device ? split.size() : std::min(block_rows_, split.size());
    placed.block = std::make_unique<DataBlock>(split, rows);
    placed.data = placed.block->data();
    if (on_device) copy(split, {0, rows}, *placed.block);
  } catch (...) {
    copies_.erase(found);
    throw;
  }
  return placed.placement;
}

const ResidentData& CudaData::resident(const Split& split) const {
  return copies_.at(split.features.data).data;
}

CudaBatch CudaData::consecutive(const Split& split, IndexRange rows) {
  const bool on_device = place(split) == DataPlacement::device;
  const Copy& placed = copies_.at(split.features.data);
  if (on_device) return {&placed.data, &scale_, consecutive_rows(rows), nullptr};
  copy(split, rows, *placed.block);
  return {&placed.data, &scale_, consecutive_rows({0, rows.size()}), nullptr};
}

// Returns when the device has them.
void CudaData::copy(const Split& split, IndexRange rows, const DataBlock& to) {
  const auto start = std::chrono::steady_clock::now();
  const auto bytes = static_cast<size_t>(split.features.columns) * bytes_of(split.features.type);
  const auto* from = static_cast<const unsigned char*>(split.features.data) + rows.begin * bytes;
  const auto count = static_cast<size_t>(rows.size());
  to.features.upload({from, count * bytes}, stream_);
  if (to.labels.size() > 0) {
    to.labels.upload(std::span(split.labels).subspan(rows.begin, count), stream_);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  transfer_seconds_ += took.count();
}

}  // namespace lockstep

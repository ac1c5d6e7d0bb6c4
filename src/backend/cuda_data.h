// Data sets on a GPU: in its own memory, or in the host's and brought over in blocks.
#pragma once

#include <map>

#include "backend/cuda_memory.h"
#include "kernels/batch_rows.h"
#include "lockstep/augment.h"
#include "lockstep/backend.h"
#include "lockstep/dataset.h"

namespace lockstep {

// Which rows, of which data, and how their images move.
struct CudaBatch {
  const ResidentData* data = nullptr;
  const FeatureScale* scale = nullptr;
  BatchRows rows;
  const Augmentation* augmentation = nullptr;  // null: they do not
};

// Device memory for `rows` rows of a split, uninitialised. Does not move: data() names it.
struct DataBlock {
  DataBlock(const Split& split, int64_t rows);
  DataBlock(const DataBlock&) = delete;
  DataBlock& operator=(const DataBlock&) = delete;

  ResidentData data() const;

  FeatureType type;
  int64_t columns;
  DeviceArray<unsigned char> features;
  DeviceArray<int32_t> labels;  // empty where the split has none
};

// Splits that were placed stay so until the end. They are told apart by their features' address and
// must outlive this.
class CudaData {
 public:
  // Evaluation asks for at most `block_rows` rows at a time.
  CudaData(const Normalization& normalization, DataPlacement placement, int64_t block_rows,
           cudaStream_t stream);

  // Where `split` is. The first call decides, by free memory where the placement is automatic, and
  // copies it. Throws Error (device) where it must be on the device and does not fit.
  DataPlacement place(const Split& split);

  // REQUIRES: placed on the device.
  const ResidentData& resident(const Split& split) const;

  // Rows of `split`, wherever it is, in order. Those of a split on the host are valid until the
  // next call, which waits for the stream.
  CudaBatch consecutive(const Split& split, IndexRange rows);

  const FeatureScale& scale() const { return scale_; }
  double transfer_seconds() const { return transfer_seconds_; }

 private:
  struct Copy {
    DataPlacement placement;
    std::unique_ptr<DataBlock> block;  // on the device: all of it; on the host: block_rows
    ResidentData data;
  };
  bool fits(const Split& split) const;
  void copy(const Split& split, IndexRange rows, const DataBlock& to);

  DataPlacement placement_;
  int64_t block_rows_;
  cudaStream_t stream_;
  DeviceArray<float> scales_, offsets_;
  FeatureScale scale_;
  std::map<const void*, Copy> copies_;
  double transfer_seconds_ = 0.0;
};

}  // namespace lockstep

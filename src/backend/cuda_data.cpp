#include "backend/cuda_data.h"

namespace lockstep {

CudaData::CudaData(const Normalization& normalization, cudaStream_t stream) : stream_(stream) {
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

const ResidentData& CudaData::resident(const Split& split) {
  const FeatureMatrix& features = split.features;
  const auto [found, fresh] = copies_.try_emplace(features.data);
  Copy& copy = found->second;
  if (!fresh) return copy.data;
  copy.features = DeviceArray<unsigned char>(features.bytes());
  copy.features.upload({static_cast<const unsigned char*>(features.data), features.bytes()},
                       stream_);
  copy.labels = DeviceArray<int32_t>(split.labels.size());
  copy.labels.upload(split.labels, stream_);
  copy.data = {.features = copy.features.data(),
               .type = features.type,
               .columns = features.columns,
               .labels = copy.labels.data()};
  return copy.data;
}

}  // namespace lockstep

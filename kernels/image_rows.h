// Passes over images that change their order or drop their values.
#pragma once

#include <cuda_runtime.h>

#include "kernels/device_image.h"
#include "kernels/device_rows.h"
#include "kernels/dropout.h"

namespace lockstep {

// Images from rows of features, plane by plane, to pixel by pixel: the gradient of a flattened
// image on its way to the layers that see one. `to` begins at a multiple of 16 bytes, its padding
// is left alone. Nothing is launched for an empty batch.
void images_from_rows(DeviceRows<const float> rows, int batch, const ImageShape& shape, float* to,
                      cudaStream_t stream);

// images[i, u] = kept(samples[i], u) ? images[i, u] * keep_scale : 0, in place, bitwise as on the
// CPU. Nothing is launched where the mask is off or there are no images.
void dropout_images(const DropoutMask& mask, const DeviceImages<float>& images, int batch,
                    const ImageShape& shape, cudaStream_t stream);

}  // namespace lockstep

// dx [B, H, W, C] = sum over the kernel's places and outputs of dy [B, H', W', O] w [O, kernel, C],
// times the derivative of what is below.
//
// Algorithm: gemm_kernel.h, rows = the input's pixels, depth = the kernel times the outputs: each
// pixel gathers the gradients of the outputs that it went into, so that nothing is added in memory
// and the order of sums is fixed. Behind a pooling a gradient counts where its window's index names
// the output: the gradient of the outputs themselves, four times as many, is never in memory. With
// a stride s all but 1 / s^2 of the gathered gradients are zeros that are multiplied all the same.
// Floor, batch 128, 32 to 64 channels, 3 x 3 on 15 x 15, pooled: 1.5 MB in and 3.7 MB each of x and
// dx, 2.7 us of a H200's memory, in fact all in L2; 1.1 GFLOP (every pixel of the input meets all
// nine places), 18 us of its float32 units. One dependent stage.
#include "kernels/conv_backward_input.h"
#include "kernels/conv_gemm.h"
#include "kernels/image_device.h"

namespace lockstep {
namespace device {

struct ConvBackwardInputEpilogue {
  static constexpr bool kRowSums = false;
  float* dx;
  int pitch;
  Divisor by_pixels;
  ImageBelow below;

  __device__ void operator()(int row, int channel, float (&values)[4], int count) const {
    const int at = row * pitch + channel;
    const int sample = by_pixels.quotient(row);
    through_below(below, at, sample, by_pixels.remainder(row, sample), channel, count, values);
    store_four(dx + at, values, count, true);
  }
};

}  // namespace device

void conv_backward_input(const ConvBackwardInput& layer, Precision precision, cudaStream_t stream) {
  require_precision(precision);
  const ConvShape& shape = layer.shape;
  require_countable(shape, layer.batch, "a convolution");
  if (layer.batch == 0) return;
  const int pitch = shape.output_pitch();
  const int pixels = shape.height * shape.width;
  const KernelDepths depths(shape.kernel_width, pitch);
  const ConvDeltaPatches deltas{.dy = layer.dy,
                                .index = layer.index,
                                .pitch = pitch,
                                .output_height = shape.output_height,
                                .output_width = shape.output_width,
                                .pooled_width = shape.pooled_width(),
                                .pooled_pixels = shape.pooled_pixels(),
                                .padding = shape.padding,
                                .by_stride = Divisor(shape.stride),
                                .by_pool = Divisor(shape.pool),
                                .by_width = Divisor(shape.width),
                                .by_pixels = Divisor(pixels),
                                .depths = depths,
                                .rows = layer.batch * pixels,
                                .depth = shape.kernel() * pitch};
  const ConvTaps taps{.weight = layer.weight,
                      .row_pitch = shape.weight_pitch(),
                      .pitch = shape.input_pitch,
                      .outputs = shape.outputs,
                      .aligned = true,
                      .depths = depths,
                      .rows = shape.channels,
                      .depth = deltas.depth};
  const device::ConvBackwardInputEpilogue epilogue{layer.dx, shape.input_pitch, Divisor(pixels),
                                                   layer.below};
  const ConvTile tile =
      choose_tile(deltas.rows, shape.channels, device_attribute(cudaDevAttrMultiProcessorCount));
  with_conv_tile<Major::depth, Major::rows, ConvTile::small, ConvTile::narrow, ConvTile::large>(
      tile, precision, [&]<class Arithmetic>() {
        launch_conv<Arithmetic>(tiles_of(deltas.rows, Arithmetic::Shape::kRows), deltas, taps, 1,
                                deltas.depth, {}, epilogue, stream);
      });
}

}  // namespace lockstep

// Shapes: x [B, H, W, C], w [O, kernel, C], y [B, H', W', O], H' and W' behind the pooling.
//
// Algorithm: gemm_kernel.h over patches of x (conv_operands.h), rows = outputs' pixels, depth = the
// kernel, by registers: a tile is gathered while the one before it is multiplied. A tile's rows are
// whole windows of the pooling, so that on its way out each window's largest sum is found in shared
// memory and only that is stored, with its place in a byte; outputs that the pooling leaves out are
// not computed. The largest of ReLUs is the ReLU of the largest. With fewer than four channels the
// whole kernel of 3 x 3 x 3 is one deep tile of 32, gathered by single floats.
// Floor, batch 128, 3 x 32 x 32 to 32 channels, 3 x 3, pooled: 1.6 MB in and 3.7 MB out (a byte and
// a float for each of 921,600 windows' values), 1.6 us of a H200's memory, in fact all in L2; 0.2
// GFLOP, 3.3 us of its float32 units. 32 to 64 channels on 15 x 15: 3.7 MB in, 1.5 MB out; 0.68
// GFLOP, 11 us of float32 units, 2 of TF32's tensor cores. One dependent stage each.
#include "kernels/conv_forward.h"
#include "kernels/conv_gemm.h"
#include "kernels/image_device.h"

namespace lockstep {
namespace device {

struct ConvForwardEpilogue {
  static constexpr bool kRowSums = false;
  static constexpr bool kTakesTile = true;
  const float* bias;
  DeviceImages<float> y;
  unsigned char* index;
  int index_pitch;
  int outputs;
  int windows, windows_a_tile, window;
  Divisor by_pixels;
  bool relu;
  ImageDropout dropout;

  // Threads next to each other store next to each other, whatever the order of y.
  template <class Shape>
  __device__ void tile(const float* c, int tile_row, int column) const {
    constexpr int kFours = Shape::kColumns / 4;
    const bool windows_first = y.channel_stride != 1;
    for (int i = static_cast<int>(threadIdx.x); i < windows_a_tile * kFours; i += kGemmThreads) {
      const int in_tile = windows_first ? i % windows_a_tile : i / kFours;
      const int four = windows_first ? i / windows_a_tile : i % kFours;
      const int q = tile_row * windows_a_tile + in_tile;
      if (q >= windows || column + 4 * four >= outputs) continue;
      end(c + in_tile * window * Shape::kPitch + 4 * four, Shape::kPitch, q, column + 4 * four);
    }
  }

  // Four channels of window q, whose sums begin at `c`.
  __device__ void end(const float* c, int pitch, int q, int channel) const {
    const int count = min(outputs - channel, 4);
    float offset[4] = {};
    float largest[4] = {};
    int place[4] = {};
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (e < count) offset[e] = bias[channel + e];
    }
    for (int p = 0; p < window; ++p) {
      const float4 sums = *reinterpret_cast<const float4*>(c + p * pitch);
      const float values[4] = {sums.x + offset[0], sums.y + offset[1], sums.z + offset[2],
                               sums.w + offset[3]};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (p > 0 && !takes_over(values[e], largest[e])) continue;
        largest[e] = values[e];
        place[e] = p;
      }
    }
    const int sample = by_pixels.quotient(q);
    const int pixel = by_pixels.remainder(q, sample);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      // max(0, y) would turn NaN into 0 and hide a diverged run.
      if (relu && largest[e] < 0) largest[e] = 0;
      if (index && e < count) {
        index[q * index_pitch + channel + e] = static_cast<unsigned char>(place[e]);
      }
    }
    if (dropout.mask.on()) drop_pixel(dropout, sample, pixel, channel, count, largest);
    store_pixel(y, sample, pixel, channel, count, largest);
  }
};

}  // namespace device

namespace {

template <bool narrow>
void run_conv_forward(const ConvForward& layer, Precision precision, cudaStream_t stream) {
  const ConvShape& shape = layer.shape;
  const int window = shape.pool * shape.pool;
  const int windows = layer.batch * shape.pooled_pixels();
  ConvPatches<narrow> patches{.x = layer.x,
                              .height = shape.height,
                              .width = shape.width,
                              .pitch = shape.input_pitch,
                              .sample_stride = shape.height * shape.width * shape.input_pitch,
                              .outputs = {shape, layer.batch},
                              .depths = {shape.kernel_width, shape.input_pitch},
                              .rows = 0,
                              .depth = shape.depth()};
  patches.rows = patches.outputs.count;
  const Operand weight =
      make_operand(layer.weight, shape.weight_pitch(), shape.outputs, shape.depth());
  device::ConvForwardEpilogue epilogue{.bias = layer.bias,
                                       .y = layer.y,
                                       .index = layer.index,
                                       .index_pitch = shape.output_pitch(),
                                       .outputs = shape.outputs,
                                       .windows = windows,
                                       .windows_a_tile = 0,
                                       .window = window,
                                       .by_pixels = Divisor(shape.pooled_pixels()),
                                       .relu = layer.activation == Activation::relu,
                                       .dropout = {layer.dropout, shape.pooled_pixels()}};
  const ConvTile tile = choose_tile(patches.outputs.count, shape.outputs,
                                    device_attribute(cudaDevAttrMultiProcessorCount));
  with_conv_tile<Major::depth, Major::depth, ConvTile::small, ConvTile::narrow, ConvTile::large>(
      tile, precision, [&]<class Arithmetic>() {
        epilogue.windows_a_tile = Arithmetic::Shape::kRows / window;
        patches.outputs_a_tile = epilogue.windows_a_tile * window;
        launch_conv<Arithmetic>(tiles_of(windows, epilogue.windows_a_tile), patches, weight, 1,
                                shape.depth(), {}, epilogue, stream);
      });
}

}  // namespace

void conv_forward(const ConvForward& layer, Precision precision, cudaStream_t stream) {
  require_precision(precision);
  require_countable(layer.shape, layer.batch, "a convolution");
  if (layer.batch == 0) return;
  const bool narrow = layer.shape.input_pitch % 4 != 0;
  (narrow ? run_conv_forward<true> : run_conv_forward<false>)(layer, precision, stream);
}

}  // namespace lockstep

// The three products of a convolution over panels (backend/panel.h), in the register tiles of
// linear layers, and the pooling that goes with them.
//
// A panel of images is [channels][height][width][32 samples]: a pixel of 32 samples is what a
// feature is to a linear layer, so that an output pixel is a product of weights with a list of
// input pixels (conv_taps.h), nothing is copied into columns, and three input channels are no worse
// than thirty-two. Every element is one chain of fused multiply-adds in the order of the summed
// index: channel, row, column.
#pragma once

#include <cstdint>
#include <span>

#include "backend/conv_taps.h"
#include "backend/panel_gemm.h"
#include "lockstep/buffer.h"
#include "lockstep/model.h"

namespace lockstep {

// A convolution's weights in the order in which tiles read them. For forward a tile is some output
// channels, its terms the input's channels; for the input gradient the reverse.
class PackedWeights {
 public:
  PackedWeights() = default;
  explicit PackedWeights(const Conv2d& conv);
  void pack_forward(const float* weight);         // [channels, input channels, kernel]
  void pack_input_gradient(const float* weight);  // the same
  const float* data() const { return packed_.data(); }

 private:
  int64_t outputs_ = 0, inputs_ = 0, kernel_ = 0;
  Buffer<float> packed_;
};

// A convolution, and the max pooling that is fused behind it where there is one.
struct ConvOutputs {
  Conv2d conv;
  ImageShape computed;  // outputs of the convolution that are needed
  int64_t pool = 1;     // sides of the windows, which lie side by side; 1: none
};

// One panel's y = pool(conv(x) + bias), then ReLU where the convolution has it. `width` lanes are
// computed. `chosen`, where not null, receives for each output and lane the place in the window of
// the largest value, row by row: what pooled_gradient() needs. A NaN in a window is its largest.
void panel_conv_forward(const ConvOutputs& outputs, const TapTable& taps,
                        const PackedWeights& weights, const float* bias, const float* x,
                        int64_t width, float* y, uint8_t* chosen);

// One panel's dx[conv.input] = the transposed convolution of dy[computed].
void panel_conv_input_gradient(const ConvOutputs& outputs, const TapTable& taps,
                               const PackedWeights& weights, const float* dy, int64_t width,
                               float* dx);

// Rows [begin, end) of the convolution's computed outputs, all channels: dy [channels][end - begin]
// [computed.width][32] from the gradient of what pooling made of them. REQUIRES: both multiples of
// outputs.pool.
void pooled_gradient(const ConvOutputs& outputs, const float* pooled, const uint8_t* chosen,
                     int64_t width, int64_t begin, int64_t end, float* dy);

// dw[channels, input channels, kernel] += sum over one panel's samples and the rows [begin, end) of
// dy's pixels of dy x. dy's planes hold those rows alone, `dy_rows` x computed.width pixels apart.
// Sums of a lane are one chain over the pixels; lanes are then folded as panel_bias_gradient()
// folds them. REQUIRES: lanes without a sample are zero in dy and finite in x.
void panel_conv_weight_gradient(const ConvOutputs& outputs, const float* x, const float* dy,
                                int64_t dy_rows, int64_t width, int64_t begin, int64_t end,
                                float* dw);

// db[c] = sum over all samples of dy's plane of `pixels` pixels of channel c.
void panel_conv_bias_gradient(ConstPanels dy, int64_t pixels, float* db);

// A pooling alone, one panel.
void panel_pool_forward(const Pool2d& pool, const float* x, int64_t width, float* y);
// dx from dy; x is what panel_pool_forward() read.
void panel_pool_backward(const Pool2d& pool, const float* x, const float* dy, int64_t width,
                         float* dx);

}  // namespace lockstep

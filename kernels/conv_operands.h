// The operands of a convolution's products, none of which is a matrix in memory: the loaders
// compute where its elements lie (implicit im2col: Chetlur et al. 2014, "cuDNN: efficient
// primitives for deep learning"). What does not change from tile to tile is computed once a block:
// by depth the places of a thread's rows, by rows that of its four depths of the kernel.
#pragma once

#include <climits>

#include "kernels/conv_pixels.h"

namespace lockstep {

// Input patches: the operand [outputs, kernel] of the forward product, by depth, and of the
// weight's gradient, by rows. Where a pixel's channels come in fours a vector is of one pixel;
// narrow, for a network's input of fewer than four channels, each element is on its own.
template <bool narrow>
struct ConvPatches {
  const float* x = nullptr;
  int height = 0, width = 0, pitch = 0;  // pitch: floats between pixels
  int sample_stride = 0;                 // floats
  ConvOutputs outputs;
  KernelDepths depths;
  int outputs_a_tile = 0;  // by depth: rows of a tile that are outputs, whole windows
  int rows = 0;
  int depth = 0;
};

// Gradients of outputs: the operand [units, outputs] of the weight's gradient, by rows. Behind a
// fused pooling they are those of its windows, and go to the place that `index` names.
struct ConvDeltas {
  const float* dy = nullptr;  // [windows, pitch], from the first unit that is computed on
  const unsigned char* index = nullptr;  // the same of its places; null: no pooling
  int pitch = 0;
  Divisor by_window;
  int rows = 0;
  int depth = 0;
};

// The same as seen from the input: the operand [input pixels, kernel x units] of the input's
// gradient, by depth.
struct ConvDeltaPatches {
  const float* dy = nullptr;
  const unsigned char* index = nullptr;
  int pitch = 0;
  int output_height = 0, output_width = 0;
  int pooled_width = 0, pooled_pixels = 0;
  int padding = 0;
  Divisor by_stride, by_pool;
  Divisor by_width, by_pixels;  // of the input
  KernelDepths depths;          // [kernel height, kernel width, pitch]
  int rows = 0;
  int depth = 0;
};

// Weights for it, by rows: those of an input channel, [kernel x units].
struct ConvTaps {
  const float* weight = nullptr;  // as conv_weights() lays it out
  int row_pitch = 0, pitch = 0;   // floats between outputs, and between places in the kernel
  int outputs = 0;
  bool aligned = false;
  KernelDepths depths;
  int rows = 0;
  int depth = 0;
};

namespace device {

// A coordinate that no kernel reaches.
inline constexpr int kNowhere = INT_MIN / 2;

__device__ __forceinline__ bool inside(int y, int x, int height, int width) {
  return static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
         static_cast<unsigned>(x) < static_cast<unsigned>(width);
}

// A kernel's place in a padded input: its coordinates and where its first weight's pixel lies.
struct PatchPlace {
  int y, x, offset;
};
template <bool narrow>
__device__ __forceinline__ PatchPlace patch_place(const ConvPatches<narrow>& from, int output) {
  const auto [sample, y, x] = from.outputs.place(output);
  return {y, x, sample * from.sample_stride + (y * from.width + x) * from.pitch};
}

// A place in the kernel.
struct TapPlace {
  int u, v, offset;
};
template <bool narrow>
__device__ __forceinline__ TapPlace tap_place(const ConvPatches<narrow>& from, int depth) {
  const auto [tap, u, v, channel] = from.depths.place(depth);
  return {u, v, (u * from.width + v) * from.pitch + channel};
}

template <bool narrow>
__device__ __forceinline__ bool inside(const ConvPatches<narrow>& from, const PatchPlace& patch,
                                       const TapPlace& tap) {
  return inside(patch.y + tap.u, patch.x + tap.v, from.height, from.width);
}

// Four depths of the kernel at one output.
__device__ __forceinline__ float4 load_patch(const ConvPatches<false>& from,
                                             const PatchPlace& patch, const TapPlace (&taps)[1]) {
  if (!inside(from, patch, taps[0])) return {};
  return *reinterpret_cast<const float4*>(from.x + patch.offset + taps[0].offset);
}
__device__ __forceinline__ float4 load_patch(const ConvPatches<true>& from, const PatchPlace& patch,
                                             const TapPlace (&taps)[4]) {
  const auto load = [&](const TapPlace& tap) {
    return inside(from, patch, tap) ? from.x[patch.offset + tap.offset] : 0.0F;
  };
  return make_float4(load(taps[0]), load(taps[1]), load(taps[2]), load(taps[3]));
}

template <bool narrow, class Tile>
class TileLoader<ConvPatches<narrow>, Tile> {
 public:
  __device__ TileLoader(const ConvPatches<narrow>& from, int row) : from_(from) {
    if constexpr (Tile::kByDepth) {
#pragma unroll
      for (int i = 0; i < Tile::kChunks; ++i) {
        const int in_tile = Tile::outer(i);
        const int output = row / Tile::kRows * from.outputs_a_tile + in_tile;
        const bool present = in_tile < from.outputs_a_tile && output < from.outputs.count;
        patches_[i] = present ? patch_place(from, output) : PatchPlace{kNowhere, 0, 0};
      }
    } else {
      find_taps(row + Tile::inner(), from.rows);
    }
  }

  __device__ void load(int depth, int depth_end, float4 (&chunks)[Tile::kChunks]) {
    if constexpr (Tile::kByDepth) find_taps(depth + Tile::inner(), depth_end);
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      if constexpr (Tile::kByDepth) {
        chunks[i] = load_patch(from_, patches_[i], taps_);
      } else {
        const int output = depth + Tile::outer(i);
        chunks[i] =
            output < depth_end ? load_patch(from_, patch_place(from_, output), taps_) : float4{};
      }
    }
  }

 private:
  static constexpr int kTaps = narrow ? 4 : 1;

  __device__ void find_taps(int depth, int depth_end) {
#pragma unroll
    for (int i = 0; i < kTaps; ++i) {
      taps_[i] = depth + i < depth_end ? tap_place(from_, depth + i) : TapPlace{kNowhere, 0, 0};
    }
  }

  const ConvPatches<narrow>& from_;
  PatchPlace patches_[Tile::kByDepth ? Tile::kChunks : 1];
  TapPlace taps_[kTaps];
};

// Gradients of four units at `place` of window `at / pitch`.
__device__ __forceinline__ float4 load_deltas(const float* dy, const unsigned char* index, int at,
                                              int place) {
  float4 deltas = *reinterpret_cast<const float4*>(dy + at);
  if (!index) return deltas;
  const uchar4 places = *reinterpret_cast<const uchar4*>(index + at);
  if (places.x != place) deltas.x = 0;
  if (places.y != place) deltas.y = 0;
  if (places.z != place) deltas.z = 0;
  if (places.w != place) deltas.w = 0;
  return deltas;
}

template <class Tile>
class TileLoader<ConvDeltas, Tile> {
 public:
  static_assert(!Tile::kByDepth);
  __device__ TileLoader(const ConvDeltas& from, int row)
      : from_(from), unit_(row + Tile::inner()) {}

  __device__ void load(int depth, int depth_end, float4 (&chunks)[Tile::kChunks]) const {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const int output = depth + Tile::outer(i);
      chunks[i] = {};
      if (unit_ >= from_.rows || output >= depth_end) continue;
      const int window = from_.by_window.quotient(output);
      chunks[i] = load_deltas(from_.dy, from_.index, window * from_.pitch + unit_,
                              from_.by_window.remainder(output, window));
    }
  }

 private:
  const ConvDeltas& from_;
  int unit_;
};

template <class Tile>
class TileLoader<ConvDeltaPatches, Tile> {
 public:
  static_assert(Tile::kByDepth);
  __device__ TileLoader(const ConvDeltaPatches& from, int row) : from_(from) {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const int pixel = row + Tile::outer(i);
      places_[i] = {kNowhere, 0, 0};
      if (pixel >= from.rows) continue;
      const int sample = from.by_pixels.quotient(pixel);
      const int in_sample = from.by_pixels.remainder(pixel, sample);
      const int y = from.by_width.quotient(in_sample);
      places_[i] = {y + from.padding, from.by_width.remainder(in_sample, y) + from.padding,
                    sample * from.pooled_pixels};
    }
  }

  __device__ void load(int depth, int depth_end, float4 (&chunks)[Tile::kChunks]) const {
    const int k = depth + Tile::inner();
    const auto [tap, u, v, unit] = from_.depths.place(k);
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const Place& place = places_[i];
      chunks[i] = {};
      // In units of the stride below: rows of the output.
      const int down = place.y - u;
      const int right = place.x - v;
      if (k >= depth_end || down < 0 || right < 0) continue;
      const int y = from_.by_stride.quotient(down);
      const int x = from_.by_stride.quotient(right);
      if (y >= from_.output_height || x >= from_.output_width) continue;
      if (from_.by_stride.remainder(down, y) != 0) continue;
      if (from_.by_stride.remainder(right, x) != 0) continue;
      const int row = from_.by_pool.quotient(y);
      const int column = from_.by_pool.quotient(x);
      const int window = place.window + row * from_.pooled_width + column;
      const int in_window = from_.by_pool.remainder(y, row) * from_.by_pool.value() +
                            from_.by_pool.remainder(x, column);
      chunks[i] = load_deltas(from_.dy, from_.index, window * from_.pitch + unit, in_window);
    }
  }

 private:
  struct Place {
    int y, x;    // behind the padding
    int window;  // the sample's first
  };
  const ConvDeltaPatches& from_;
  Place places_[Tile::kChunks];
};

template <class Tile>
class TileLoader<ConvTaps, Tile> {
 public:
  static_assert(!Tile::kByDepth);
  __device__ TileLoader(const ConvTaps& from, int row)
      : from_(from), channel_(row + Tile::inner()) {}

  __device__ void load(int depth, int depth_end, float4 (&chunks)[Tile::kChunks]) const {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const int k = depth + Tile::outer(i);
      const auto [tap, u, v, output] = from_.depths.place(k);
      const bool present = k < depth_end && output < from_.outputs && channel_ < from_.rows;
      const float* at =
          from_.weight + (present ? output * from_.row_pitch + tap * from_.pitch + channel_ : 0);
      chunks[i] = load_four(at, present ? from_.rows - channel_ : 0, from_.aligned);
    }
  }

 private:
  const ConvTaps& from_;
  int channel_;
};

}  // namespace device
}  // namespace lockstep

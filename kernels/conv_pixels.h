// The rows and depths of a convolution's products: which pixel, which place in the kernel.
#pragma once

#include "kernels/conv_shape.h"
#include "kernels/divisor.h"
#include "kernels/gemm_tile.h"

namespace lockstep {

// A convolution's outputs of a batch, numbered window by window, in a window row by row; without
// pooling that is row by row.
struct ConvOutputs {
  int count = 0;   // of the batch
  int window = 1;  // outputs of a window
  int stride = 1, padding = 0;
  Divisor by_window, by_pool, by_width, by_pixels;  // the last two of pooled images

  ConvOutputs() = default;
  ConvOutputs(const ConvShape& shape, int batch)
      : count(batch * shape.pooled_pixels() * shape.pool * shape.pool),
        window(shape.pool * shape.pool),
        stride(shape.stride),
        padding(shape.padding),
        by_window(window),
        by_pool(shape.pool),
        by_width(shape.pooled_width()),
        by_pixels(shape.pooled_pixels()) {}

  // Where the kernel lies for one of them: the sample, and the row and column of the input that its
  // first weight meets, maybe beyond the edge.
  struct Place {
    int sample, y, x;
  };
  LOCKSTEP_HD Place place(int number) const {
    const int q = by_window.quotient(number);
    const int in_window = by_window.remainder(number, q);
    const int sample = by_pixels.quotient(q);
    const int pixel = by_pixels.remainder(q, sample);
    const int row = by_width.quotient(pixel);
    const int column = by_width.remainder(pixel, row);
    const int u = by_pool.quotient(in_window);
    const int v = by_pool.remainder(in_window, u);
    const int y = row * by_pool.value() + u;
    const int x = column * by_pool.value() + v;
    return {sample, y * stride - padding, x * stride - padding};
  }
};

// Depths of a product over a kernel: [kernel height, kernel width, pitch].
struct KernelDepths {
  Divisor by_pitch, by_width;

  KernelDepths() = default;
  KernelDepths(int kernel_width, int pitch) : by_pitch(pitch), by_width(kernel_width) {}

  struct Place {
    int tap, u, v, channel;  // tap = u * kernel width + v
  };
  LOCKSTEP_HD Place place(int depth) const {
    const int tap = by_pitch.quotient(depth);
    const int u = by_width.quotient(tap);
    return {tap, u, by_width.remainder(tap, u), by_pitch.remainder(depth, tap)};
  }
};

}  // namespace lockstep

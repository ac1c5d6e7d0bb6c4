// What a step does to panels between the products: in and out of row-major order, activation,
// dropout, and their backward. Lanes beyond the samples are computed like the others.
#pragma once

#include <optional>

#include "backend/dropout.h"
#include "backend/matrix.h"
#include "backend/panel.h"
#include "lockstep/backend.h"
#include "lockstep/model.h"

namespace lockstep {

// Floats between rows of row-major activations: whole cache lines, an odd number of them, so that
// the rows of one column spread over the sets of a cache.
constexpr int64_t spread_stride(int64_t columns) {
  return (columns + 15) / 16 * 16 + ((columns + 15) / 16 % 2 == 0 ? 16 : 0);
}

// Row-major rows to panels. REQUIRES: rows readable up to the panels' last lane and, in fours, up
// to the panels' last feature.
void rows_to_panels(ConstMatrix rows, Panels panels);

// Panels to row-major rows. REQUIRES: rows writable as rows_to_panels reads.
void panels_to_rows(ConstPanels panels, Matrix rows);

// The same to [samples, features], rows adjacent and nothing else written: of few features.
void panels_to_rows(ConstPanels panels, float* rows);

// What follows a linear layer.
struct LayerEnd {
  Activation activation = Activation::none;
  std::optional<DropoutKey> dropout;
};

// y = dropout(activation(y)) in place, copied row-major to `rows` where it has any. `batch` holds
// the panels' samples. REQUIRES: `rows` writable as rows_to_panels reads.
void finish_layer(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows);

// dy = the gradient before activation and dropout, from the one after them, in place; y is
// finish_layer's output.
void finish_layer_backward(const LayerEnd& end, const Batch& batch, ConstPanels y, Panels dy);

}  // namespace lockstep

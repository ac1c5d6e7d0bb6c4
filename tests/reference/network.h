// A plain float64 forward and backward pass: the oracle of the tests. Shares nothing with the
// production code but the public data types, the parameter layout and the counter-based generator.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/backend.h"
#include "lockstep/dataset.h"
#include "lockstep/model.h"
#include "lockstep/parameters.h"

namespace lockstep::reference {

// Row-major [rows, columns].
struct Table {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> data;

  Table(int64_t row_count, int64_t column_count)
      : rows(row_count), columns(column_count), data(row_count * column_count) {}
  double& at(int64_t i, int64_t j) { return data[i * columns + j]; }
  double at(int64_t i, int64_t j) const { return data[i * columns + j]; }
};

struct Result {
  double loss = 0.0;  // sums over samples
  int64_t correct = 0;
  std::vector<double> gradients;  // flat, as the layout places them; padding zero
  Table logits{0, 0};
};

enum class DropoutMode { on, off };

// What the products of linear layers multiply: bf16 rounds inputs, weights and gradients of outputs
// to bfloat16, to nearest even. Biases and sums stay exact.
enum class Operands { exact, bf16 };

// Features of the batch after normalisation, its images moved as Batch::augmentation says.
Table decode(const Batch& batch, const Normalization& normalization);

// Is `unit` of `sample` kept by the dropout layer `layer`?
bool kept(uint64_t seed, int layer, uint32_t epoch, int64_t sample, int64_t unit, double p);

// Forward, loss and backward with flat float64 parameters.
Result run(const Model& model, const ParameterLayout& layout, std::span<const double> values,
           const Batch& batch, const Normalization& normalization, DropoutMode dropout,
           uint64_t seed, Operands operands = Operands::exact);

}  // namespace lockstep::reference

#include "kernels/mutation_cases.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "kernels/binary_cross_entropy.h"
#include "kernels/column_sums.h"
#include "kernels/conv_backward_input.h"
#include "kernels/conv_backward_weight.h"
#include "kernels/conv_forward.h"
#include "kernels/image_rows.h"
#include "kernels/linear_backward_input.h"
#include "kernels/linear_backward_weight.h"
#include "kernels/linear_forward.h"
#include "kernels/linear_softmax_loss.h"
#include "kernels/linear_update.h"
#include "kernels/logistic_problem.h"
#include "kernels/op_fixture.h"
#include "kernels/shared_step.h"
#include "kernels/softmax_loss.h"
#include "lockstep/config.h"

namespace lockstep::testing {
namespace {

void append(Values& to, const Values& from) {
  to.insert(to.end(), from.begin(), from.end());
}

Values metrics_of(const StepState* on_device) {
  const StepState state = from_device(on_device, 1)[0];
  return {static_cast<float>(state.metrics.loss), static_cast<float>(state.metrics.correct),
          static_cast<float>(state.metrics.count), static_cast<float>(state.step),
          static_cast<float>(state.first_bad_step)};
}

// Twice, as the second finds what the first has left: the ticket.
Values loss_of(int classes, std::int64_t count, cudaStream_t stream) {
  const Samples samples(FeatureType::float32, count, 1, std::max(classes, 2), 7);
  LossRows rows;
  rows.logits = to_device(normals(count * classes, 5));
  rows.labels = to_device(samples.split.labels);
  rows.logits_stride = rows.gradient_stride = rows.classes = classes;
  rows.rows = count;
  StepState* state = step_state();
  const LossSums sums = training_sums(state, to_device(std::vector<LossScratch>(1)));
  for (int k = 0; k < 2; ++k) {
    if (classes > 1) {
      softmax_loss(rows, sums, stream);
    } else {
      binary_cross_entropy_loss(rows, sums, stream);
    }
  }
  return metrics_of(state);
}

enum class Pass { evaluate, gradient, train };

Values logistic(FeatureType type, std::int64_t columns, std::int64_t rows, Pass pass,
                cudaStream_t stream) {
  emulator::set_multiprocessors(0, 1);  // two blocks
  const Samples samples(type, 2 * rows, columns, 2);
  const Sampler sampler(2 * rows, LogisticProblem::kSeed, Shuffle::epoch);
  const BatchRows batch = training_rows(sampler, LogisticProblem::kBatch, rows);
  const LogisticProblem p(samples, type == FeatureType::uint8 ? unit_scaling() : Normalization{});
  const std::size_t size = p.layout.size();
  float* gradients = to_device(Values(size));
  float* logits = to_device(Values(static_cast<std::size_t>(rows)));
  switch (pass) {
    case Pass::evaluate:
      logistic_evaluate(p.model, consecutive_rows({0, rows}), logits,
                        {p.scratch.loss, &p.step.state->metrics, nullptr}, stream);
      break;
    case Pass::gradient:
      logistic_gradient(p.model, batch, p.step.state, gradients, p.scratch, stream);
      break;
    case Pass::train:
      logistic_train(p.model, batch, UpdateRule::momentum, p.parameters, p.step, p.scratch, stream);
      break;
  }
  Values all = metrics_of(p.step.state);
  append(all, from_device(p.model.values, size));
  append(all, from_device(static_cast<const float*>(gradients), size));
  append(all, from_device(static_cast<const float*>(logits), static_cast<std::size_t>(rows)));
  return all;
}

// Rows that a warp takes alone, and rows that several share, which wait for each other at each row.
Values wide_logistic(FeatureType type, Pass pass, cudaStream_t stream) {
  Values all = logistic(type, 900, 9, pass, stream);
  append(all, logistic(type, 1030, 5, pass, stream));
  return all;
}

enum class LinearPass { forward, backward_input, backward_weight };

struct Product {
  int rows, columns, depth;
};

Values linear(LinearPass pass, Precision precision, const Product& product, cudaStream_t stream,
              int times = 1) {
  const auto [rows, columns, depth] = product;
  const auto matrix = [](int height, int width, std::uint64_t seed) {
    return to_device(normals(std::int64_t{height} * width, seed));
  };
  float* result = device_array<float>(rows * columns);
  float* sums = to_device(Values(rows));
  const auto workspace = [](std::size_t floats) {
    return floats > 0 ? to_device(Values(floats)) : nullptr;
  };
  switch (pass) {
    case LinearPass::forward: {
      const LinearForward forward{
          .batch = rows,
          .inputs = depth,
          .outputs = columns,
          .x = {matrix(rows, depth, 1), depth},
          .weight = matrix(columns, depth, 2),
          .bias = matrix(1, columns, 3),
          .y = {result, columns},
          .workspace = workspace(linear_forward_workspace(rows, depth, columns))};
      for (int k = 0; k < times; ++k) linear_forward(forward, precision, stream);
      break;
    }
    case LinearPass::backward_input: {
      linear_backward_input({.batch = rows,
                             .inputs = columns,
                             .outputs = depth,
                             .dy = {matrix(rows, depth, 1), depth},
                             .weight = matrix(depth, columns, 2),
                             .x = {matrix(rows, columns, 3), columns},
                             .dx = {result, columns}},
                            precision, stream);
      break;
    }
    case LinearPass::backward_weight: {
      const LinearBackwardWeight backward{
          .batch = depth,
          .inputs = columns,
          .outputs = rows,
          .units = rows,
          .dy = {matrix(depth, rows, 1), rows},
          .x = {matrix(depth, columns, 2), columns},
          .dweight = result,
          .dbias = sums,
          .workspace = workspace(linear_backward_weight_workspace(depth, columns, rows))};
      for (int k = 0; k < times; ++k) linear_backward_weight(backward, precision, stream);
      break;
    }
  }
  Values all = from_device(static_cast<const float*>(result), rows * columns);
  append(all, from_device(static_cast<const float*>(sums), rows));
  return all;
}

// Of several deep tiles, the last of which lies where the result goes.
int deep(Precision precision) {
  return precision == Precision::bf16 ? 96 : 128;
}

// A small tile.
Values linear(LinearPass pass, Precision precision, cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  const int depth = deep(precision);
  Values all = linear(pass, precision, {20, 20, depth}, stream);
  // Here the threads of a small tile read the sums that they have written themselves.
  if (pass == LinearPass::backward_input && precision == Precision::fp32) {
    emulator::set_multiprocessors(0, 1);
    append(all, linear(pass, precision, {33, 36, 16}, stream));
  }
  return all;
}

// A part of a tile in four splits. Twice, as the second finds what the first has left: the tickets.
Values split_linear(LinearPass pass, cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  return linear(pass, Precision::fp32, {8, 8, 512}, stream, 2);
}

enum class ConvPass { forward, backward_input, backward_weight };

// `batch` images of 8 channels, convolved by 3 x 4 kernels to `outputs`, pooled in windows of four.
Values convolution(ConvPass pass, Precision precision, int batch, const Conv2d& conv,
                   cudaStream_t stream) {
  const ConvShape shape = conv_shape(conv, 2, padded_channels(conv.input.channels));
  const auto floats = [](std::int64_t count, std::uint64_t seed) {
    return to_device(normals(count, seed));
  };
  const std::int64_t inputs = batch * conv.input.pixels() * shape.input_pitch;
  const std::int64_t outputs = std::int64_t{batch} * shape.pooled_pixels() * shape.output_pitch();
  const std::int64_t weights = std::int64_t{shape.outputs} * shape.weight_pitch();
  std::vector<unsigned char> places(static_cast<std::size_t>(outputs));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<unsigned char>(i % 4);
  switch (pass) {
    case ConvPass::forward: {
      float* y = to_device(Values(outputs));
      auto* index = to_device(places);
      conv_forward({.batch = batch,
                    .shape = shape,
                    .x = floats(inputs, 1),
                    .weight = floats(weights, 2),
                    .bias = floats(shape.outputs, 3),
                    .y = {y, std::int64_t{shape.pooled_pixels()} * shape.output_pitch(),
                          shape.output_pitch(), 1},
                    .index = index},
                   precision, stream);
      Values all = from_device(static_cast<const float*>(y), outputs);
      for (const unsigned char place : from_device(index, outputs)) all.push_back(place);
      return all;
    }
    case ConvPass::backward_input: {
      float* dx = to_device(Values(inputs));
      conv_backward_input({.batch = batch,
                           .shape = shape,
                           .dy = floats(outputs, 1),
                           .index = to_device(places),
                           .weight = floats(weights, 2),
                           .dx = dx},
                          precision, stream);
      return from_device(static_cast<const float*>(dx), inputs);
    }
    case ConvPass::backward_weight: break;
  }
  float* dweight = to_device(Values(weights));
  float* dbias = to_device(Values(shape.outputs));
  const std::size_t space = conv_backward_weight_workspace(shape, batch);
  conv_backward_weight({.batch = batch,
                        .shape = shape,
                        .units = shape.outputs,
                        .dy = floats(outputs, 1),
                        .index = to_device(places),
                        .x = floats(inputs, 2),
                        .dweight = dweight,
                        .dbias = dbias,
                        .workspace = space > 0 ? device_array<float>(space) : nullptr},
                       precision, stream);
  Values all = from_device(static_cast<const float*>(dweight), weights);
  append(all, from_device(static_cast<const float*>(dbias), shape.outputs));
  return all;
}

// Products over three small tiles of depth, the last of which lies where the result goes.
Values convolution(ConvPass pass, Precision precision, cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  const Conv2d conv{{8, 8, 11}, 8, 3, 4, 1, 0, Activation::none};  // depth 96; 48 outputs a sample
  Values all = convolution(pass, precision, 2, conv, stream);
  // In small tiles the threads read the sums that they have written themselves.
  if (pass == ConvPass::backward_input && precision == Precision::fp32) {
    emulator::set_multiprocessors(0, 1);
    append(all,
           convolution(pass, precision, 1, {{36, 6, 6}, 16, 1, 1, 1, 0, Activation::none}, stream));
  }
  return all;
}

// In three splits.
Values split_convolution(cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  return convolution(ConvPass::backward_weight, Precision::fp32, 16,
                     {{4, 8, 9}, 8, 3, 2, 1, 0, Activation::none}, stream);
}

Values images_from_rows_of(cudaStream_t stream) {
  const ImageShape shape{33, 5, 7};
  float* images = to_device(Values(static_cast<std::size_t>(2 * 36 * shape.pixels())));
  images_from_rows({to_device(normals(2 * shape.size(), 1)), shape.size()}, 2, shape, images,
                   stream);
  return from_device(static_cast<const float*>(images),
                     static_cast<std::size_t>(2 * 36 * shape.pixels()));
}

Values column_sums_of(cudaStream_t stream) {
  constexpr int kRows = 40, kColumns = 33;
  float* sums = device_array<float>(kColumns);
  const std::size_t floats = column_sums_workspace(kRows, kColumns);
  column_sums({to_device(normals(kRows * kColumns, 1)), kColumns}, kRows, kColumns, sums,
              floats > 0 ? device_array<float>(floats) : nullptr, stream);
  return from_device(static_cast<const float*>(sums), kColumns);
}

// Three tiles of two layers. Twice, as the second finds what the first has left: ticket and state.
Values linear_update_of(Precision precision, cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  const int batch = deep(precision);
  const auto rows = [&](int columns, std::uint64_t seed) {
    return DeviceRows<const float>{to_device(normals(batch * columns, seed)), columns};
  };
  const std::vector<LinearUpdateLayer> layers = {
      {.inputs = 36, .outputs = 8, .dy = rows(8, 1), .x = rows(36, 2), .weight = 0, .bias = 288},
      {.inputs = 8, .outputs = 4, .dy = rows(4, 3), .x = rows(8, 4), .weight = 320, .bias = 352}};
  constexpr std::size_t kSize = 384;
  float* values = to_device(normals(kSize, 5));
  float* momentum = to_device(Values(kSize));
  const StepPointers step{
      .state = step_state(),
      .scalars = to_device(std::vector<UpdateScalars>{update_scalars({}, 0.1, 0, batch),
                                                      update_scalars({}, 0.2, 1, batch)})};
  unsigned* ticket = to_device(std::vector<unsigned>(1));
  for (int k = 0; k < 2; ++k) {
    linear_update(layers, batch, precision, UpdateRule::momentum,
                  {.values = values, .state0 = momentum}, step, ticket, stream);
  }
  Values all = metrics_of(step.state);
  append(all, from_device(static_cast<const float*>(values), kSize));
  append(all, from_device(static_cast<const float*>(momentum), kSize));
  return all;
}

// Two blocks, twice.
Values linear_softmax_loss_of(Precision precision, cudaStream_t stream) {
  emulator::set_multiprocessors(0, 132);
  constexpr int kBatch = 40, kClasses = 10;
  const int inputs = deep(precision);
  const Samples samples(FeatureType::float32, kBatch, 1, kClasses, 7);
  float* logits = device_array<float>(kBatch * kClasses);
  const LinearForward layer{.batch = kBatch,
                            .inputs = inputs,
                            .outputs = kClasses,
                            .x = {to_device(normals(kBatch * inputs, 1)), inputs},
                            .weight = to_device(normals(kClasses * inputs, 2)),
                            .bias = to_device(normals(kClasses, 3)),
                            .y = {logits, kClasses}};
  const LossRows rows{.logits = logits,
                      .logits_stride = kClasses,
                      .labels = to_device(samples.split.labels),
                      .gradient = logits,
                      .gradient_stride = kClasses,
                      .rows = kBatch,
                      .classes = kClasses};
  StepState* state = step_state();
  const LossSums sums = training_sums(state, to_device(std::vector<LossScratch>(1)));
  for (int k = 0; k < 2; ++k) linear_softmax_loss(layer, rows, sums, precision, stream);
  Values all = metrics_of(state);
  append(all, from_device(static_cast<const float*>(logits), kBatch * kClasses));
  return all;
}

// The host reads the record as the device writes it.
Values report(cudaStream_t stream) {
  StepReport* report = nullptr;
  check(cudaHostAlloc(&report, sizeof(StepReport), cudaHostAllocMapped), "cudaHostAlloc");
  *report = {};
  StepState* state = step_state();
  advance_step({.state = state, .report = report}, stream);
  const std::atomic_ref<unsigned> steps(report->steps);
  while (steps.load(std::memory_order_acquire) == 0) {
  }
  return {static_cast<float>(report->of(0).step), static_cast<float>(report->of(0).metrics.count)};
}

// The host follows how far a step that workers share has come.
Values shared_step_of(cudaStream_t stream) {
  constexpr std::size_t kSize = 64;
  StepReport* report = nullptr;
  check(cudaHostAlloc(&report, sizeof(StepReport), cudaHostAllocMapped), "cudaHostAlloc");
  *report = {};
  const std::atomic_ref<unsigned> buckets(report->buckets);
  const auto wait_for = [&](unsigned value) {
    while (buckets.load(std::memory_order_acquire) != value) {
    }
  };
  float* values = to_device(normals(kSize, 1));
  float* gradients = to_device(normals(kSize, 2));
  float* tail = to_device(Values(kTailFloats));
  const StepPointers step{
      .state = step_state(),
      .scalars = to_device(std::vector<UpdateScalars>{update_scalars({}, 0.1, 0, 8)}),
      .report = report};
  const std::atomic_ref<unsigned> vote(report->stop_vote), stop(report->stop_step);
  vote.store(1);
  write_tail(tail, 8, step, stream);
  vote.store(1);  // at any moment
  update_reduced(UpdateRule::sgd, {0, kSize}, {.values = values, .gradients = gradients}, step,
                 {.tail = tail, .number = 0}, stream);
  wait_for(1);
  advance_shared_step(step, tail, 8, stream);
  while (stop.load() == 0) {
  }
  wait_for(0);
  Values all = metrics_of(step.state);
  append(all, from_device(static_cast<const float*>(values), kSize));
  return all;
}

}  // namespace

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, std::function<Values(cudaStream_t)> run) {
    cases.push_back({.name = name, .run = std::move(run)});
  };
  add("softmax", [](cudaStream_t s) { return loss_of(10, 40, s); });
  add("binary_cross_entropy", [](cudaStream_t s) { return loss_of(1, 300, s); });
  add("logistic_gradient_of_narrow_rows",
      [](cudaStream_t s) { return logistic(FeatureType::uint8, 20, 400, Pass::gradient, s); });
  add("logistic_gradient_of_wide_rows",
      [](cudaStream_t s) { return wide_logistic(FeatureType::float32, Pass::gradient, s); });
  add("logistic_evaluation_of_wide_rows",
      [](cudaStream_t s) { return wide_logistic(FeatureType::uint8, Pass::evaluate, s); });
  add("logistic_step_in_one_kernel",
      [](cudaStream_t s) { return logistic(FeatureType::float32, 100, 80, Pass::train, s); });
  add("logistic_step_in_two_kernels",
      [](cudaStream_t s) { return wide_logistic(FeatureType::float32, Pass::train, s); });
  constexpr std::pair<LinearPass, const char*> kPasses[] = {
      {LinearPass::forward, "linear_forward_"},
      {LinearPass::backward_input, "linear_backward_input_"},
      {LinearPass::backward_weight, "linear_backward_weight_"}};
  for (const auto& [pass, name] : kPasses) {
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      add(name + std::string(to_string(precision)),
          [=](cudaStream_t s) { return linear(pass, precision, s); });
    }
  }
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    add("linear_update_" + std::string(to_string(precision)),
        [=](cudaStream_t s) { return linear_update_of(precision, s); });
    add("linear_softmax_loss_" + std::string(to_string(precision)),
        [=](cudaStream_t s) { return linear_softmax_loss_of(precision, s); });
  }
  constexpr std::pair<ConvPass, const char*> kConvPasses[] = {
      {ConvPass::forward, "conv_forward_"},
      {ConvPass::backward_input, "conv_backward_input_"},
      {ConvPass::backward_weight, "conv_backward_weight_"}};
  for (const auto& [pass, name] : kConvPasses) {
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      add(name + std::string(to_string(precision)),
          [=](cudaStream_t s) { return convolution(pass, precision, s); });
    }
  }
  cases.push_back(
      {.name = "conv_backward_weight_split", .run = split_convolution, .by_races_alone = true});
  add("images_from_rows", images_from_rows_of);
  for (const auto& [pass, name] : {kPasses[0], kPasses[2]}) {
    cases.push_back({.name = name + std::string("split"),
                     .run = [=](cudaStream_t s) { return split_linear(pass, s); },
                     .by_races_alone = true});
  }
  add("column_sums", column_sums_of);
  add("report", report);
  add("shared_step", shared_step_of);
  return cases;
}

}  // namespace lockstep::testing

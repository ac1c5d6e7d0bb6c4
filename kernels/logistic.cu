// Shapes: features [N, d] uint8 or float32, weights [d], a batch of B rows.
// Algorithm: blocks of 256 threads take rows in turn (logistic_rows.h) and write their sums [d +
// 1]; these are added up, eight at a time side by side and then in order, by the last block where
// rows are narrow, else by a kernel of ceil((d + 1) / 32) blocks, and updated there and then.
// Floor: B d elements of traffic, 4 B d FLOP. Three stages: rows, blocks' sums, update.
#include <algorithm>
#include <bit>
#include <string>

#include "kernels/launch.h"
#include "kernels/logistic.h"
#include "kernels/logistic_rows.h"
#include "kernels/update_device.h"

namespace lockstep {

using namespace device;

// What becomes of the blocks' sums.
struct LogisticEnding {
  UpdateRule rule = UpdateRule::sgd;
  ParameterPointers parameters;
  StepPointers step;
  const float* sums = nullptr;  // [blocks, stride]
  std::size_t stride = 0;
  unsigned blocks = 0;
  unsigned columns = 0;
  std::size_t weight = 0, bias = 0;
  float* gradients = nullptr;  // the flat buffer, in place of an update
  unsigned* ticket = nullptr;
};

constexpr unsigned kSumWarps = kLogisticWarps;
constexpr std::size_t kTileBytes = kSumWarps * kWarpSize * sizeof(float);

__device__ void update_one(const LogisticEnding& ending, std::size_t at, float gradient) {
  const ParameterPointers& p = ending.parameters;
  const UpdateScalars s = ending.step.scalars[ending.step.state->batch];
  switch (ending.rule) {
    case UpdateRule::sgd: return update_one<UpdateRule::sgd>(p, s, at, gradient);
    case UpdateRule::momentum: return update_one<UpdateRule::momentum>(p, s, at, gradient);
    case UpdateRule::nesterov: return update_one<UpdateRule::nesterov>(p, s, at, gradient);
    case UpdateRule::adam: return update_one<UpdateRule::adam>(p, s, at, gradient);
  }
}

// Columns [32 tile, 32 tile + 32) by a block: warp w adds up every eighth block's sums from w on,
// warp 0 the warps'. The shared memory is kTileBytes at `at`.
__device__ void end_tile(const LogisticEnding& ending, unsigned tile, std::size_t at) {
  auto* sums = shared<float>(at, kSumWarps * kWarpSize);
  const unsigned lane = threadIdx.x % kWarpSize;
  const unsigned warp = threadIdx.x / kWarpSize;
  const unsigned j = tile * kWarpSize + lane;
  float sum = 0.0F;
  if (j <= ending.columns) {
    for (unsigned block = warp; block < ending.blocks; block += kSumWarps) {
      sum += ending.sums[block * ending.stride + j];
    }
  }
  sums[warp * kWarpSize + lane] = sum;
  __syncthreads();
  if (warp != 0 || j > ending.columns) return;
  sum = 0.0F;
  for (unsigned w = 0; w < kSumWarps; ++w) sum += sums[w * kWarpSize + lane];
  const std::size_t place = j < ending.columns ? ending.weight + j : ending.bias;
  if (ending.gradients) {
    ending.gradients[place] = sum;
  } else if (!diverged(*ending.step.state)) {
    update_one(ending, place, sum);
  }
}

// A block a tile; the last one advances the step where there was an update.
__global__ void __launch_bounds__(kLogisticThreads) logistic_end_kernel(LogisticEnding ending) {
  end_tile(ending, blockIdx.x, 0);
  if (ending.gradients || threadIdx.x >= kWarpSize) return;
  __syncwarp();  // the warp's other lanes have read the state
  if (threadIdx.x == 0 && take_last_ticket(ending.ticket)) {
    advance(*ending.step.state, ending.step.report);
  }
}

template <class T, int Width, int Elements>
__global__ void __launch_bounds__(kLogisticThreads, 2)
    logistic_evaluate_kernel(LogisticModel model, BatchRows batch, float* logits, LossSums sums,
                             unsigned group) {
  LogisticRows<T, Width, Elements> rows(model, group);
  const LogisticLosses losses = rows.template pass<false>(batch, nullptr, logits);
  finish_loss(losses.loss, losses.correct, batch.rows, sums);
}

template <class T, int Width, int Elements>
__global__ void __launch_bounds__(kLogisticThreads, 2)
    logistic_gradient_kernel(LogisticModel model, BatchRows batch, LossSums sums, float* gradients,
                             std::size_t stride, unsigned group) {
  LogisticRows<T, Width, Elements> rows(model, group);
  const LogisticLosses losses = rows.template pass<true>(batch, sums.state, nullptr);
  rows.store_gradient(gradients + blockIdx.x * stride);
  finish_loss(losses.loss, losses.correct, batch.rows, sums);
}

// The whole step: the last block goes on where logistic_end_kernel would begin.
template <class T, int Width, int Elements>
__global__ void __launch_bounds__(kLogisticThreads, 2)
    logistic_train_kernel(LogisticModel model, BatchRows batch, LossSums sums, float* gradients,
                          LogisticEnding ending, unsigned group) {
  LogisticRows<T, Width, Elements> rows(model, group);
  const LogisticLosses losses = rows.template pass<true>(batch, sums.state, nullptr);
  rows.store_gradient(gradients + blockIdx.x * ending.stride);
  store_block_loss(losses.loss, losses.correct, *sums.scratch);
  // store_block_loss has a barrier after the gradient's sums.
  const bool last = threadIdx.x == 0 && take_last_ticket(&sums.scratch->ticket);
  if (!__syncthreads_or(last ? 1 : 0)) return;
  if (threadIdx.x < kWarpSize) add_up_losses(batch.rows, sums);
  const unsigned tiles = ending.columns / kWarpSize + 1;
  for (unsigned tile = 0; tile < tiles; ++tile) {
    end_tile(ending, tile, kColumnsAt + tile % 2 * kTileBytes);
  }
  if (threadIdx.x >= kWarpSize) return;
  __syncwarp();  // warp 0 alone reads the state
  if (threadIdx.x == 0) advance(*ending.step.state, ending.step.report);
}

// How a pass is launched: the kernels' common shape.
struct LogisticShape {
  unsigned group;
  unsigned blocks;
  std::size_t shared_bytes;
};

template <int Width, int Elements>
LogisticShape logistic_shape(const LogisticModel& model, const BatchRows& batch) {
  constexpr int kRows = LogisticRows<float, Width, Elements>::kRows;
  const auto columns = static_cast<unsigned>(model.data.columns);
  const unsigned group = std::bit_ceil((columns + Elements - 1) / Elements);
  const std::int64_t rows_of_block = std::int64_t{kLogisticThreads} / group * kRows;
  int device = 0, multiprocessors = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  const std::int64_t most = std::min<std::int64_t>(2 * multiprocessors, LossScratch::kMaxBlocks);
  const std::int64_t wanted = (batch.rows + rows_of_block - 1) / rows_of_block;
  const std::size_t columns_bytes =
      std::size_t{logistic_slots(group)} * group * Elements * sizeof(float);
  return {.group = group,
          .blocks = static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, most)),
          .shared_bytes = kColumnsAt + std::max(columns_bytes, 2 * kTileBytes)};
}

// Calls with the element type, the vector's width and the columns a lane has.
template <class Call>
void for_logistic_kind(const LogisticModel& model, const Call& call) {
  check_features(model.data);
  const std::int64_t columns = model.data.columns;
  if (columns < 1 || columns > kLogisticColumns) {
    throw Error(ErrorKind::runtime,
                "the logistic pass takes 1 to 4096 columns, not " + std::to_string(columns));
  }
  const auto elements = [&]<class T, int Width>() {
    if (columns <= kLogisticNarrow) return call.template operator()<T, Width, 4>();
    // Columns apart from each other take an address each: half as many fit in the registers.
    constexpr int kWide = Width == 1 ? 16 : 32;
    return call.template operator()<T, Width, kWide>();
  };
  const bool four = columns % 4 == 0;
  if (model.data.type == FeatureType::uint8) {
    return four ? elements.template operator()<std::uint8_t, 4>()
                : elements.template operator()<std::uint8_t, 1>();
  }
  return four ? elements.template operator()<float, 4>() : elements.template operator()<float, 1>();
}

std::size_t logistic_stride(std::int64_t columns) {
  return padded(static_cast<std::size_t>(columns) + 1);
}

std::size_t logistic_scratch_floats(std::int64_t columns) {
  return LossScratch::kMaxBlocks * logistic_stride(columns);
}

LogisticEnding make_ending(const LogisticModel& model, const LogisticScratch& scratch) {
  LogisticEnding ending;
  ending.sums = scratch.gradients;
  ending.stride = logistic_stride(model.data.columns);
  ending.columns = static_cast<unsigned>(model.data.columns);
  ending.weight = model.weight;
  ending.bias = model.bias;
  ending.ticket = &scratch.loss->ticket;
  return ending;
}

void launch_ending(const LogisticEnding& ending, cudaStream_t stream) {
  launch({.grid = ending.columns / kWarpSize + 1,
          .block = kLogisticThreads,
          .stream = stream,
          .shared_bytes = kTileBytes},
         logistic_end_kernel, ending);
}

void logistic_gradient(const LogisticModel& model, const BatchRows& batch, StepState* state,
                       float* gradients, const LogisticScratch& scratch, cudaStream_t stream) {
  for_logistic_kind(model, [&]<class T, int Width, int Elements>() {
    const LogisticShape shape = logistic_shape<Width, Elements>(model, batch);
    LogisticEnding ending = make_ending(model, scratch);
    ending.blocks = shape.blocks;
    ending.gradients = gradients;
    launch({.grid = shape.blocks,
            .block = kLogisticThreads,
            .stream = stream,
            .shared_bytes = shape.shared_bytes},
           logistic_gradient_kernel<T, Width, Elements>, model, batch,
           training_sums(state, scratch.loss), scratch.gradients, ending.stride, shape.group);
    launch_ending(ending, stream);
  });
}

void logistic_train(const LogisticModel& model, const BatchRows& batch, UpdateRule rule,
                    const ParameterPointers& parameters, const StepPointers& step,
                    const LogisticScratch& scratch, cudaStream_t stream) {
  for_logistic_kind(model, [&]<class T, int Width, int Elements>() {
    const LogisticShape shape = logistic_shape<Width, Elements>(model, batch);
    LogisticEnding ending = make_ending(model, scratch);
    ending.blocks = shape.blocks;
    ending.rule = rule;
    ending.parameters = parameters;
    ending.step = step;
    const LossSums sums = training_sums(step.state, scratch.loss);
    const Launch how{.grid = shape.blocks,
                     .block = kLogisticThreads,
                     .stream = stream,
                     .shared_bytes = shape.shared_bytes};
    if constexpr (Elements == 4) {
      launch(how, logistic_train_kernel<T, Width, Elements>, model, batch, sums, scratch.gradients,
             ending, shape.group);
    } else {
      launch(how, logistic_gradient_kernel<T, Width, Elements>, model, batch, sums,
             scratch.gradients, ending.stride, shape.group);
      launch_ending(ending, stream);
    }
  });
}

void logistic_evaluate(const LogisticModel& model, const BatchRows& batch, float* logits,
                       const LossSums& sums, cudaStream_t stream) {
  if (batch.rows == 0) return;
  for_logistic_kind(model, [&]<class T, int Width, int Elements>() {
    const LogisticShape shape = logistic_shape<Width, Elements>(model, batch);
    launch({.grid = shape.blocks,
            .block = kLogisticThreads,
            .stream = stream,
            .shared_bytes = shape.shared_bytes},
           logistic_evaluate_kernel<T, Width, Elements>, model, batch, logits, sums, shape.group);
  });
}

}  // namespace lockstep

#include "comm/gradient_reducer.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "comm/team.h"
#include "comm/thread_communicator.h"

namespace lockstep {
namespace {

using testing::on_workers;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kSteps = 20;

ParameterLayout small_layout() {
  return ParameterLayout(make_mlp(20, {33, 7}, 3, 0.0));
}

float gradient(int rank, int step, size_t i) {
  return static_cast<float>((rank + 1) * 3 + step * 7 + static_cast<int>(i % 13));
}

// A backward pass: gradients become final from the end, in slabs.
void backward(int rank, int step, std::span<float> gradients, GradientReducer& reducer) {
  reducer.released();
  for (size_t end = gradients.size(); end > 0;) {
    const size_t begin = end > 96 ? end - 96 : 0;
    for (size_t i = begin; i < end; ++i) gradients[i] = gradient(rank, step, i);
    reducer.ready({begin, end});
    end = begin;
  }
}

// What plain descent with rate 1 leaves of zero weights after kSteps.
std::vector<float> expected_weights(int workers, size_t size) {
  std::vector<float> weights(size);
  for (int step = 0; step < kSteps; ++step) {
    for (size_t i = 0; i < size; ++i) {
      for (int rank = 0; rank < workers; ++rank) weights[i] -= gradient(rank, step, i);
    }
  }
  return weights;
}

TEST(SlicedReducer, EveryWeightIsUpdatedOnceAStepWhateverTheBuckets) {
  const ParameterLayout layout = small_layout();
  for (const Overlap overlap : {Overlap::off, Overlap::on}) {
    for (const int workers : {1, 2, 3, 5}) {
      for (const double bytes : {0.0, 200.0, 1024.0, kInfinity}) {
        std::vector<float> weights(layout.size());
        on_workers(workers, [&](ThreadGroup& group, int rank) {
          Buffer<float> gradients(layout.size());
          const std::vector<Range> plan = plan_buckets(layout, bytes);
          SlicedReducer reducer(group, rank, gradients.span(), overlap, [&](Range range) {
            for (size_t i = range.begin; i < range.end; ++i) {
              weights[i] -= gradients[i];
            }
          });
          for (int step = 0; step < kSteps; ++step) {
            reducer.begin_step(plan, {rank + 1, rank == step});
            backward(rank, step, gradients.span(), reducer);
            reducer.finish();
          }
        });
        EXPECT_EQ(weights, expected_weights(workers, layout.size()));
      }
    }
  }
}

TEST(ReplicaReducer, ReplicasStayEqualWhateverTheBucketsAndTheAlgorithm) {
  const ParameterLayout layout = small_layout();
  for (const auto algorithm :
       {AllReduceAlgorithm::direct, AllReduceAlgorithm::ring, AllReduceAlgorithm::central}) {
    for (const Overlap overlap : {Overlap::off, Overlap::on}) {
      for (const double bytes : {0.0, 200.0, kInfinity}) {
        on_workers(3, [&](ThreadGroup& group, int rank) {
          std::vector<float> weights(layout.size());
          Buffer<float> gradients(layout.size() + kPadFloats);
          ThreadCommunicator communicator(group, rank, algorithm);
          const std::vector<Range> plan = plan_buckets(layout, bytes);
          ReplicaReducer reducer(communicator, gradients.span(), overlap, [&](Range range) {
            for (size_t i = range.begin; i < range.end; ++i) {
              weights[i] -= gradients[i];
            }
          });
          for (int step = 0; step < kSteps; ++step) {
            reducer.begin_step(plan, {rank + 1, rank == step});
            backward(rank, step, gradients.span().first(layout.size()), reducer);
            reducer.finish();
            ASSERT_TRUE(reducer.total());
            EXPECT_EQ(reducer.total()->samples, 1 + 2 + 3);
            EXPECT_EQ(reducer.total()->stop, step < 3);
          }
          EXPECT_EQ(weights, expected_weights(3, layout.size()));
        });
      }
    }
  }
}

}  // namespace
}  // namespace lockstep

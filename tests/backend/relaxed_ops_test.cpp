#include "backend/relaxed_ops.h"

#include <gtest/gtest.h>

#include <thread>

#include "backend/fixtures.h"
#include "backend/optimizer_ops.h"
#include "backend/simd_targets.h"
#include "lockstep/buffer.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::normals;

UpdateScalars scalars() {
  OptimizerConfig config;
  config.momentum = 0.9;
  config.weight_decay = 1e-3;
  return update_scalars(config, 0.05, 3, 16);
}

TEST(RelaxedOps, SharedWeightsRoundTrip) {
  const std::vector<float> values = normals(64, 1);
  Buffer<SharedFloats> shared(32);
  store_relaxed(shared.span(), values);
  std::vector<float> back(64);
  load_relaxed(back, shared.span());
  EXPECT_EQ(back, values);
}

TEST(RelaxedOps, AloneAWorkerTakesTheOptimizersStep) {
  for_each_target([] {
    for (const auto& [form, rule] : {std::pair{SgdForm::plain, UpdateRule::sgd},
                                     std::pair{SgdForm::momentum, UpdateRule::momentum},
                                     std::pair{SgdForm::nesterov, UpdateRule::nesterov}}) {
      std::vector<float> values = normals(96, 1);
      const std::vector<float> gradients = normals(96, 2);
      std::vector<float> velocity = normals(96, 3);
      std::vector<float> shared_velocity = velocity;
      Buffer<SharedFloats> shared(48);
      store_relaxed(shared.span(), values);
      sgd_relaxed(scalars(), form, shared.span(), gradients, shared_velocity);
      apply_update(rule, scalars(), {values.data(), gradients.data(), velocity.data(), nullptr},
                   values.size());
      std::vector<float> back(96);
      load_relaxed(back, shared.span());
      EXPECT_EQ(back, values);
      EXPECT_EQ(shared_velocity, velocity);
    }
  });
}

// Workers on disjoint words lose nothing; under ThreadSanitizer this also proves that workers on
// the same words do not race.
TEST(RelaxedOps, ConcurrentWorkersDoNotRace) {
  Buffer<SharedFloats> shared(64);
  UpdateScalars s;
  s.learning_rate = 1.0f;
  const std::vector<float> gradients(128, -1.0f);
  const auto work = [&] {
    std::vector<float> copy(128);
    for (int i = 0; i < 200; ++i) {
      load_relaxed(copy, shared.span());
      sgd_relaxed(s, SgdForm::plain, shared.span(), gradients, {});
    }
  };
  std::thread other(work);
  work();
  other.join();
  std::vector<float> back(128);
  load_relaxed(back, shared.span());
  for (const float value : back) {
    EXPECT_GE(value, 200.0f);
    EXPECT_LE(value, 400.0f);
  }
}

}  // namespace
}  // namespace lockstep

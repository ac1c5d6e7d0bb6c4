#include "kernels/optimizer.h"

#include <limits>

#include "backend/optimizer_ops.h"
#include "kernels/op_fixture.h"

namespace lockstep {
namespace {

using testing::normals;

std::vector<OptimizerConfig> configurations() {
  OptimizerConfig plain;
  plain.weight_decay = 1e-3;
  OptimizerConfig momentum = plain;
  momentum.momentum = 0.9;
  OptimizerConfig nesterov = momentum;
  nesterov.nesterov = true;
  OptimizerConfig adam;
  adam.kind = OptimizerKind::adam;
  adam.learning_rate = 1e-2;
  adam.weight_decay = 1e-3;
  OptimizerConfig adamw = adam;
  adamw.kind = OptimizerKind::adamw;
  return {plain, momentum, nesterov, adam, adamw};
}

// Values, gradients and states, on the host.
struct Parameters {
  std::vector<float> values, gradients, state0, state1;

  explicit Parameters(std::size_t size)
      : values(normals(size, 1)),
        gradients(normals(size, 2, 8.0f)),
        state0(normals(size, 3)),
        state1(size, 0.5f) {}

  bool operator==(const Parameters&) const = default;
};

class UpdateTest : public testing::KernelTest {
 protected:
  struct OnDevice {
    ParameterPointers pointers;
    float* gradients;
  };

  OnDevice copy(const Parameters& host) {
    float* gradients = testing::to_device(host.gradients);
    return {{testing::to_device(host.values), gradients, testing::to_device(host.state0),
             testing::to_device(host.state1)},
            gradients};
  }

  Parameters copy_back(const OnDevice& device, std::size_t size) {
    Parameters host(0);
    host.values = testing::from_device(device.pointers.values, size);
    host.gradients = testing::from_device(device.gradients, size);
    host.state0 = testing::from_device(device.pointers.state0, size);
    host.state1 = testing::from_device(device.pointers.state1, size);
    return host;
  }
};

TEST_F(UpdateTest, every_rule_and_range_gives_the_cpus_bits) {
  constexpr std::size_t kSize = 1312;
  for (const OptimizerConfig& config : configurations()) {
    for (const Range range : {Range{0, kSize}, Range{0, 4}, Range{32, 1088}, Range{64, 64}}) {
      Parameters expected(kSize);
      const OnDevice device = copy(expected);
      std::vector<UpdateScalars> scalars;
      for (std::int64_t step = 0; step < 3; ++step) {
        scalars.push_back(update_scalars(config, config.learning_rate * (step + 1), step, 16));
      }
      const StepPointers step{.state = testing::step_state(),
                              .scalars = testing::to_device(scalars)};
      for (std::int64_t k = 0; k < 3; ++k) {
        update(update_rule(config), range, device.pointers, step, stream_);
        advance_step(step, stream_);
        apply_update(update_rule(config), scalars[k],
                     {expected.values.data() + range.begin, expected.gradients.data() + range.begin,
                      expected.state0.data() + range.begin, expected.state1.data() + range.begin},
                     range.size());
      }
      EXPECT_EQ(copy_back(device, kSize), expected)
          << static_cast<int>(update_rule(config)) << " from " << range.begin;
    }
  }
}

TEST_F(UpdateTest, rules_without_states_need_none) {
  Parameters expected(64);
  OnDevice device = copy(expected);
  device.pointers.state0 = device.pointers.state1 = nullptr;
  const UpdateScalars scalars = update_scalars({}, 0.1, 0, 1);
  update(UpdateRule::sgd, {0, 64}, device.pointers,
         {.state = testing::step_state(), .scalars = testing::to_device(std::vector{scalars})},
         stream_);
  apply_update(UpdateRule::sgd, scalars,
               {expected.values.data(), expected.gradients.data(), nullptr, nullptr}, 64);
  EXPECT_EQ(testing::from_device(device.pointers.values, 64), expected.values);
}

TEST_F(UpdateTest, nothing_changes_after_a_loss_that_is_not_finite) {
  for (const OptimizerConfig& config : configurations()) {
    const Parameters before(96);
    const OnDevice device = copy(before);
    StepState bad;
    bad.first_bad_step = 0;
    const StepPointers step{
        .state = testing::to_device(std::vector{bad}),
        .scalars = testing::to_device(std::vector{update_scalars(config, 0.1, 0, 16)})};
    update(update_rule(config), {0, 96}, device.pointers, step, stream_);
    EXPECT_EQ(copy_back(device, 96), before);
  }
}

}  // namespace
}  // namespace lockstep

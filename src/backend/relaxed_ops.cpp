#include "backend/relaxed_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/relaxed_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <atomic>
#include <cstdint>
#include <cstring>

#include "backend/simd-inl.h"
#include "lockstep/buffer.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Weights pass through a block of this many floats between the atomic words and the vectors.
constexpr size_t kBlock = kPadFloats;

template <class Update>
HWY_INLINE void for_each_block(SharedFloats* shared, size_t words, const Update& update) {
  HWY_ALIGN float block[kBlock];
  for (size_t first = 0; first < words; first += kBlock / 2) {
    for (size_t i = 0; i < kBlock / 2; ++i) {
      const SharedFloats word =
          std::atomic_ref<SharedFloats>(shared[first + i]).load(std::memory_order_relaxed);
      std::memcpy(block + 2 * i, &word, sizeof word);
    }
    for (size_t i = 0; i < kBlock; i += kLanes) {
      Floats weight = load(block + i);
      update(2 * first + i, weight);
      store(weight, block + i);
    }
    for (size_t i = 0; i < kBlock / 2; ++i) {
      SharedFloats word;
      std::memcpy(&word, block + 2 * i, sizeof word);
      std::atomic_ref<SharedFloats>(shared[first + i]).store(word, std::memory_order_relaxed);
    }
  }
}

void sgd_plain_relaxed(const UpdateScalars& scalars, SharedFloats* shared, const float* gradients,
                       size_t words) {
  for_each_block(shared, words, [&](size_t i, Floats& weight) HWY_ATTR {
    sgd_plain(scalars, load(gradients + i), weight);
  });
}

void sgd_momentum_relaxed(const UpdateScalars& scalars, SharedFloats* shared,
                          const float* gradients, float* velocities, size_t words) {
  for_each_block(shared, words, [&](size_t i, Floats& weight) HWY_ATTR {
    Floats velocity = load(velocities + i);
    sgd_momentum(scalars, load(gradients + i), weight, velocity);
    store(velocity, velocities + i);
  });
}

void sgd_nesterov_relaxed(const UpdateScalars& scalars, SharedFloats* shared,
                          const float* gradients, float* velocities, size_t words) {
  for_each_block(shared, words, [&](size_t i, Floats& weight) HWY_ATTR {
    Floats velocity = load(velocities + i);
    sgd_nesterov(scalars, load(gradients + i), weight, velocity);
    store(velocity, velocities + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(sgd_plain_relaxed);
HWY_EXPORT(sgd_momentum_relaxed);
HWY_EXPORT(sgd_nesterov_relaxed);

void load_relaxed(std::span<float> dst, std::span<const SharedFloats> shared) {
  for (size_t i = 0; i < shared.size(); ++i) {
    // atomic_ref takes no const object before C++26; the load itself writes nothing.
    const SharedFloats word = std::atomic_ref<SharedFloats>(const_cast<SharedFloats&>(shared[i]))
                                  .load(std::memory_order_relaxed);
    std::memcpy(dst.data() + 2 * i, &word, sizeof word);
  }
}

void store_relaxed(std::span<SharedFloats> shared, std::span<const float> src) {
  for (size_t i = 0; i < shared.size(); ++i) {
    SharedFloats word;
    std::memcpy(&word, src.data() + 2 * i, sizeof word);
    std::atomic_ref<SharedFloats>(shared[i]).store(word, std::memory_order_relaxed);
  }
}

void sgd_relaxed(const UpdateScalars& scalars, SgdForm form, std::span<SharedFloats> shared,
                 std::span<const float> gradients, std::span<float> velocity) {
  switch (form) {
    case SgdForm::plain:
      HWY_DYNAMIC_DISPATCH(sgd_plain_relaxed)
      (scalars, shared.data(), gradients.data(), shared.size());
      return;
    case SgdForm::momentum:
      HWY_DYNAMIC_DISPATCH(sgd_momentum_relaxed)
      (scalars, shared.data(), gradients.data(), velocity.data(), shared.size());
      return;
    case SgdForm::nesterov:
      HWY_DYNAMIC_DISPATCH(sgd_nesterov_relaxed)
      (scalars, shared.data(), gradients.data(), velocity.data(), shared.size());
      return;
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE

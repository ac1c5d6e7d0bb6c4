#include "backend/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/activation.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

void bias_rows(Matrix y, const float* bias) {
  for (int64_t i = 0; i < y.rows; ++i) {
    float* row = y.row(i);
    for_each_vector(y.columns, [=](auto load_at, auto store_at)
                                   HWY_ATTR { store_at(load_at(row) + load_at(bias), row); });
  }
}

void bias_relu_rows(Matrix y, const float* bias) {
  for (int64_t i = 0; i < y.rows; ++i) {
    float* row = y.row(i);
    for_each_vector(y.columns, [=](auto load_at, auto store_at) HWY_ATTR {
      const Floats sum = load_at(row) + load_at(bias);
      // max(0, sum) would turn NaN into 0 and hide a diverged run.
      const auto negative = hn::Lt(sum.raw, hn::Zero(FloatTag()));
      store_at(Floats(hn::IfThenElse(negative, hn::Zero(FloatTag()), sum.raw)), row);
    });
  }
}

void relu_backward_rows(Matrix dy, ConstMatrix y, float scale) {
  const Floats factor(scale);
  for (int64_t i = 0; i < y.rows; ++i) {
    float* gradient = dy.row(i);
    const float* output = y.row(i);
    for_each_vector(y.columns, [=](auto load_at, auto store_at) HWY_ATTR {
      const auto active = hn::Gt(load_at(output).raw, hn::Zero(FloatTag()));
      store_at(Floats(hn::IfThenElseZero(active, (factor * load_at(gradient)).raw)), gradient);
    });
  }
}

void column_sums_loop(ConstMatrix dy, float* sums) {
  for_each_vector(dy.columns, [=](auto load_at, auto store_at) HWY_ATTR {
    Floats sum(0.0f);
    for (int64_t i = 0; i < dy.rows; ++i) sum = sum + load_at(dy.row(i));
    store_at(sum, sums);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(bias_rows);
HWY_EXPORT(bias_relu_rows);
HWY_EXPORT(relu_backward_rows);
HWY_EXPORT(column_sums_loop);

void add_bias(Matrix y, const float* bias, Activation activation) {
  if (activation == Activation::relu) {
    HWY_DYNAMIC_DISPATCH(bias_relu_rows)(y, bias);
  } else {
    HWY_DYNAMIC_DISPATCH(bias_rows)(y, bias);
  }
}

void relu_backward(Matrix dy, ConstMatrix y, float scale) {
  HWY_DYNAMIC_DISPATCH(relu_backward_rows)(dy, y, scale);
}

void column_sums(ConstMatrix dy, float* sums) {
  HWY_DYNAMIC_DISPATCH(column_sums_loop)(dy, sums);
}

}  // namespace lockstep
#endif  // HWY_ONCE

// The formulas themselves, written once over the value type T: float and double (lockstep/math.h)
// and the SIMD vectors of src/backend/simd-inl.h. T needs + - * /, construction from float by
// `T(x)`, and, found by argument-dependent lookup or in math_functions: fma, exp, log1p, sqrt, abs,
// max, if_negative.
//
// No include guard and no namespace: it is included once for the host and device, and once for each
// SIMD target, inside a namespace that compiles for that target's instructions.

// 1 / (1 + e^-x). Stable as it stands: where e^-x overflows to infinity the quotient is exactly 0.
template <class T>
LOCKSTEP_HD T sigmoid(T x) {
  using namespace math_functions;
  return T(1.0f) / (T(1.0f) + exp(T(0.0f) - x));
}

// Binary cross-entropy of a logit x against a target y in {0, 1}:
//   max(x, 0) - x y + log1p(e^-|x|), stable for every finite x.
template <class T>
LOCKSTEP_HD T binary_cross_entropy(T x, T y) {
  using namespace math_functions;
  return max(x, T(0.0f)) - x * y + log1p(exp(T(0.0f) - abs(x)));
}

// 2 atanh(s) for s in [0, 1/3], exact to an ulp or two: the odd series, cut where a float no longer
// sees it. With s = t / (2 + t) it is log(1 + t) for t in [0, 1], without log1p's cases.
template <class T>
LOCKSTEP_HD T twice_atanh(T s) {
  using namespace math_functions;
  const T square = s * s;
  T sum = fma(square, T(2.0f / 15.0f), T(2.0f / 13.0f));
  sum = fma(square, sum, T(2.0f / 11.0f));
  sum = fma(square, sum, T(2.0f / 9.0f));
  sum = fma(square, sum, T(2.0f / 7.0f));
  sum = fma(square, sum, T(2.0f / 5.0f));
  sum = fma(square, sum, T(2.0f / 3.0f));
  sum = fma(square, sum, T(2.0f));
  return s * sum;
}

// Loss and gradient of binary_cross_entropy at once, from one exponential and one division: with
// e = e^-|x| the sigmoid is 1 / (1 + e) for x >= 0 and e / (1 + e) below, to full precision in both
// tails, and log(1 + e) needs e / (2 + e).
template <class T>
LOCKSTEP_HD void binary_cross_entropy_gradient(T x, T y, T& loss, T& gradient) {
  using namespace math_functions;
  const T e = exp(T(0.0f) - abs(x));
  const T one_more = T(1.0f) + e;
  const T two_more = T(2.0f) + e;
  const T inverse = T(1.0f) / (one_more * two_more);
  const T upper = inverse * two_more;
  loss = max(x, T(0.0f)) - x * y + twice_atanh(e * (inverse * one_more));
  gradient = if_negative(x, e * upper, upper) - y;
}

// SGD with momentum as PyTorch defines it (Sutskever et al. 2013, without dampening):
//   g = s G + wd w;  v = mu v + g;  w -= lr (nesterov ? g + mu v : v).
// Without momentum pass no `velocity`: sgd_plain.
template <class T>
LOCKSTEP_HD T sgd_gradient(const UpdateScalars& s, T weight, T gradient_sum) {
  using namespace math_functions;
  return fma(T(s.weight_decay), weight, T(s.gradient_scale) * gradient_sum);
}

template <class T>
LOCKSTEP_HD void sgd_plain(const UpdateScalars& s, T gradient_sum, T& weight) {
  using namespace math_functions;
  weight = fma(T(-s.learning_rate), sgd_gradient(s, weight, gradient_sum), weight);
}

template <class T>
LOCKSTEP_HD void sgd_momentum(const UpdateScalars& s, T gradient_sum, T& weight, T& velocity) {
  using namespace math_functions;
  velocity = fma(T(s.momentum), velocity, sgd_gradient(s, weight, gradient_sum));
  weight = fma(T(-s.learning_rate), velocity, weight);
}

template <class T>
LOCKSTEP_HD void sgd_nesterov(const UpdateScalars& s, T gradient_sum, T& weight, T& velocity) {
  using namespace math_functions;
  const T gradient = sgd_gradient(s, weight, gradient_sum);
  velocity = fma(T(s.momentum), velocity, gradient);
  weight = fma(T(-s.learning_rate), fma(T(s.momentum), velocity, gradient), weight);
}

// Adam (Kingma, Ba 2015, algorithm 1) and, with decoupled_decay, AdamW (Loshchilov, Hutter 2019):
//   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
//   w = w - decoupled_decay w - step_size m / (sqrt(v) / sqrt(1-b2^t) + eps).
template <class T>
LOCKSTEP_HD void adam(const UpdateScalars& s, T gradient_sum, T& weight, T& mean, T& variance) {
  using namespace math_functions;
  const T gradient = sgd_gradient(s, weight, gradient_sum);
  mean = fma(T(s.beta1), mean, T(1.0f - s.beta1) * gradient);
  variance = fma(T(s.beta2), variance, T(1.0f - s.beta2) * gradient * gradient);
  const T denominator = fma(sqrt(variance), T(s.inverse_sqrt_correction2), T(s.epsilon));
  weight = fma(T(-s.decoupled_decay), weight, weight);
  weight = fma(T(-s.step_size), mean / denominator, weight);
}

// Starts a product with its epilogue: plan, precision, one kernel. For the launchers of
// linear layers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "kernels/gemm_ffma.h"
#include "kernels/gemm_kernel.h"
#include "kernels/gemm_plan.h"
#include "kernels/gemm_tensor.h"
#include "kernels/launch.h"
#include "lockstep/backend.h"
#include "lockstep/error.h"

namespace lockstep {

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

inline GemmPlan plan_on_device(int rows, int columns, int depth) {
  return plan_gemm(rows, columns, depth, device_attribute(cudaDevAttrMultiProcessorCount));
}

// Behind the tickets.
inline device::Partials partials_of(const GemmPlan& plan, int rows, int columns, float* workspace) {
  return {.data = workspace ? workspace + GemmPlan::kTickets : nullptr,
          .splits = plan.splits,
          .rows = rows,
          .columns = columns,
          .tickets = reinterpret_cast<unsigned*>(workspace)};
}

// Floats of workspace that run_gemm needs; may be 0. GemmPlan::kTickets of them are tickets, always
// in the same place.
inline std::size_t gemm_workspace(const GemmPlan& plan, int rows, int columns) {
  if (plan.splits == 1) return 0;
  return GemmPlan::kTickets + partials_of(plan, rows, columns, nullptr).size();
}

// Throws Error (device) where the current device has no tensor cores for the precision.
inline void require_precision(Precision precision) {
  if (precision == Precision::fp32) return;
  const int major = device_attribute(cudaDevAttrComputeCapabilityMajor);
  if (major >= 8) return;
  const int minor = device_attribute(cudaDevAttrComputeCapabilityMinor);
  const char* name = precision == Precision::tf32 ? "tf32" : "bf16";
  throw Error(ErrorKind::device,
              std::string("precision ") + name +
                  " needs a GPU of compute capability 8.0 or later; this one's is " +
                  std::to_string(major) + "." + std::to_string(minor),
              "use --precision fp32, or an Ampere or later GPU");
}

// Calls `call` with the Arithmetic of that precision and the depth of its large tiles, as template
// arguments. Throws Error (device) as require_precision().
template <class Call>
void with_arithmetic(Precision precision, const Call& call) {
  require_precision(precision);
  switch (precision) {
    case Precision::fp32: return call.template operator()<device::Ffma, 16>();
    case Precision::tf32: return call.template operator()<device::Tf32, 16>();
    case Precision::bf16: return call.template operator()<device::Bf16, 32>();
  }
}

template <class Arithmetic, class Epilogue>
void launch_gemm(const GemmPlan& plan, const Operand& a, const Operand& b, const Epilogue& epilogue,
                 float* workspace, cudaStream_t stream) {
  using Shape = typename Arithmetic::Shape;
  const auto tiles = [](int count, int tile) {
    return static_cast<unsigned>((static_cast<long long>(count) + tile - 1) / tile);
  };
  if (plan.splits > 1 && !workspace) {
    throw Error(ErrorKind::runtime, "a linear layer's pass was given no workspace");
  }
  const device::Partials partials =
      partials_of(plan, a.rows, b.rows, plan.splits > 1 ? workspace : nullptr);
  launch({.grid = dim3(tiles(a.rows, Shape::kRows), tiles(b.rows, Shape::kColumns),
                       static_cast<unsigned>(plan.splits)),
          .block = device::kGemmThreads,
          .stream = stream,
          .shared_bytes = device::GemmBlock<Arithmetic, Epilogue>::kSharedBytes},
         device::gemm<Arithmetic, Epilogue>, a, b, plan.depth_a_split, partials, epilogue);
}

// C[m, n] = sum over k of a[m, k] b[n, k], every value to `epilogue`. REQUIRES: a.depth ==
// b.depth, rows of both > 0; a plan for that depth and at least those rows; `workspace` of
// gemm_workspace() floats, aligned to 16 bytes, zero before its first use, for no other work on the
// device until this has ended.
template <Major major_a, Major major_b, class Epilogue>
void run_gemm(const GemmPlan& plan, const Operand& a, const Operand& b, const Epilogue& epilogue,
              Precision precision, float* workspace, cudaStream_t stream) {
  with_arithmetic(
      precision, [&]<template <class, Major, Major> class Arithmetic, int large_depth>() {
        using Large = device::TileShape<GemmPlan::kLargeRows, GemmPlan::kLargeColumns, large_depth>;
        using Small = device::TileShape<GemmPlan::kSmall, GemmPlan::kSmall, 32>;
        if (plan.large) {
          launch_gemm<Arithmetic<Large, major_a, major_b>>(plan, a, b, epilogue, workspace, stream);
        } else {
          launch_gemm<Arithmetic<Small, major_a, major_b>>(plan, a, b, epilogue, workspace, stream);
        }
      });
}

// Calls `call` with the Arithmetic of small tiles in that precision, as its template argument.
template <Major major_a, Major major_b, class Call>
void with_small_tiles(Precision precision, const Call& call) {
  using Small = device::TileShape<GemmPlan::kSmall, GemmPlan::kSmall, 32>;
  with_arithmetic(precision, [&]<template <class, Major, Major> class Arithmetic, int>() {
    call.template operator()<Arithmetic<Small, major_a, major_b>>();
  });
}

}  // namespace lockstep

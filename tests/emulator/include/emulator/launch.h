// Kernel launches. The kernel's type is needed to call it with its arguments, so it must be passed
// as it is, not as a pointer to void.
#pragma once

#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "driver_types.h"

namespace lockstep::emulator {

// What each device thread of a launch calls. `function` names the kernel.
using KernelBody = std::shared_ptr<const std::function<void()>>;

cudaError_t launch(const cudaLaunchConfig_t* config, const void* function, KernelBody body);
cudaError_t set_function_attribute(const void* function, cudaFuncAttribute attribute, int value);
cudaError_t occupancy(int* blocks, int block_threads, std::size_t shared_bytes);

template <class... Parameters>
KernelBody kernel_body(void (*kernel)(Parameters...),
                       std::tuple<std::remove_cv_t<Parameters>...> arguments) {
  return std::make_shared<const std::function<void()>>(
      [kernel, arguments = std::move(arguments)] { std::apply(kernel, arguments); });
}

template <class... Parameters, std::size_t... I>
KernelBody unpack(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
  return kernel_body(kernel, {*static_cast<std::remove_cv_t<Parameters>*>(arguments[I])...});
}

}  // namespace lockstep::emulator

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return lockstep::emulator::launch(
      config, reinterpret_cast<const void*>(kernel),
      lockstep::emulator::kernel_body(kernel, {std::forward<Arguments>(arguments)...}));
}

template <class... Parameters>
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                                void** arguments) {
  return lockstep::emulator::launch(
      config, reinterpret_cast<const void*>(kernel),
      lockstep::emulator::unpack(kernel, arguments, std::index_sequence_for<Parameters...>{}));
}

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute,
                                 int value) {
  return lockstep::emulator::set_function_attribute(reinterpret_cast<const void*>(kernel),
                                                    attribute, value);
}

template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(Parameters...),
                                                          int block_threads,
                                                          std::size_t shared_bytes) {
  return lockstep::emulator::occupancy(blocks, block_threads, shared_bytes);
}

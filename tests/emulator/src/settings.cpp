#include "settings.h"

#include <cstdlib>

#include "cuda_runtime_api.h"

namespace lockstep::emulator {

namespace {

long long environment(const char* name, long long otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoll(text, nullptr, 10) : otherwise;
}

}  // namespace

Settings& settings() {
  static auto* instance = new Settings{
      .seed = static_cast<std::uint64_t>(environment("LOCKSTEP_EMULATOR_SEED", 1)),
      .max_delay = static_cast<int>(environment("LOCKSTEP_EMULATOR_DELAY", 100)),
      .delay_one_in = 8,
      .one_at_a_time = environment("LOCKSTEP_EMULATOR_ONE_AT_A_TIME", 0) != 0,
      .spin_limit = 20.0,
      .virtual_time = default_virtual_time(),
      .driver_version = static_cast<int>(environment("LOCKSTEP_EMULATOR_DRIVER", CUDART_VERSION))};
  return *instance;
}

bool default_virtual_time() {
  return environment("LOCKSTEP_EMULATOR_VIRTUAL_TIME", 0) != 0;
}

int default_device_count() {
  return static_cast<int>(environment("LOCKSTEP_EMULATOR_DEVICES", 1));
}

int default_capability() {
  return static_cast<int>(environment("LOCKSTEP_EMULATOR_CAPABILITY", 90));
}

int default_multiprocessors() {
  return static_cast<int>(environment("LOCKSTEP_EMULATOR_MULTIPROCESSORS", 4));
}

std::size_t default_memory() {
  return static_cast<std::size_t>(environment("LOCKSTEP_EMULATOR_MEMORY_MB", 2048)) << 20;
}

long failing_allocation() {
  return static_cast<long>(environment("LOCKSTEP_EMULATOR_FAIL_ALLOCATION", -1));
}

long failing_kernel() {
  return static_cast<long>(environment("LOCKSTEP_EMULATOR_FAIL_KERNEL", -1));
}

}  // namespace lockstep::emulator

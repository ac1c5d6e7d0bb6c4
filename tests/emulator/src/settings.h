// What environment variables and emulator/control.h set.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lockstep::emulator {

struct Settings {
  std::atomic<std::uint64_t> seed;  // LOCKSTEP_EMULATOR_SEED
  std::atomic<int> max_delay;       // LOCKSTEP_EMULATOR_DELAY, microseconds
  std::atomic<int> delay_one_in;    // operations for one that is delayed
  std::atomic<bool> one_at_a_time;  // LOCKSTEP_EMULATOR_ONE_AT_A_TIME
  std::atomic<double> spin_limit;   // seconds
  std::atomic<bool> virtual_time;   // LOCKSTEP_EMULATOR_VIRTUAL_TIME
  std::atomic<int> driver_version;  // LOCKSTEP_EMULATOR_DRIVER, 1000 major + 10 minor; 0: no driver
};

Settings& settings();
bool default_virtual_time();    // LOCKSTEP_EMULATOR_VIRTUAL_TIME
int default_device_count();     // LOCKSTEP_EMULATOR_DEVICES
int default_capability();       // LOCKSTEP_EMULATOR_CAPABILITY, 10 major + minor
int default_multiprocessors();  // LOCKSTEP_EMULATOR_MULTIPROCESSORS
std::size_t default_memory();   // LOCKSTEP_EMULATOR_MEMORY_MB, in bytes
long failing_allocation();      // LOCKSTEP_EMULATOR_FAIL_ALLOCATION; -1: none
long failing_kernel();          // LOCKSTEP_EMULATOR_FAIL_KERNEL; -1: none

}  // namespace lockstep::emulator

// What sanitizers find by way of the emulator, and that they find nothing in what is right. Runs
// the program whose path is RACE_PROGRAM, a case at a time, in a process of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "fixture.h"

namespace lockstep::test {
namespace {

constexpr int kSanitizerExit = 77;

struct Ending {
  int code;
  std::string output;
};

Ending run_case(const std::string& name) {
  const std::string options = "halt_on_error=1:exitcode=" + std::to_string(kSanitizerExit);
  const std::string command = "TSAN_OPTIONS=" + options + " ASAN_OPTIONS=" + options + " '" +
                              RACE_PROGRAM + "' " + name + " 2>&1";
  Ending ending{-1, ""};
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return ending;
  char buffer[4096];
  while (const std::size_t bytes = fread(buffer, 1, sizeof buffer, pipe)) {
    ending.output.append(buffer, bytes);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) ending.code = WEXITSTATUS(status);
  return ending;
}

void expect_report(const std::string& name, const std::string& words) {
  const Ending ending = run_case(name);
  EXPECT_EQ(ending.code, kSanitizerExit) << name << ": " << ending.output;
  EXPECT_NE(ending.output.find(words), std::string::npos) << name << ": " << ending.output;
}

TEST(RaceTest, nothing_is_reported_of_what_is_right) {
  for (const char* name : {"barrier", "event_wait", "dependent_launch", "synchronize", "collective",
                           "all_reduce_orders_ranks"}) {
    const Ending ending = run_case(name);
    EXPECT_EQ(ending.code, 0) << name << ": " << ending.output;
  }
}

TEST(RaceTest, memory_that_is_not_freed_at_exit_is_an_error) {
  constexpr int kNotFreed = 70;
  const Ending ending = run_case("not_freed");
  EXPECT_EQ(ending.code, kNotFreed) << ending.output;
  EXPECT_NE(ending.output.find("not freed at exit: 12 bytes of device memory"), std::string::npos)
      << ending.output;
}

TEST(RaceTest, thread_sanitizer_reports_races_of_kernels) {
  if (!emulator::under_thread_sanitizer()) GTEST_SKIP() << "not built with ThreadSanitizer";
  expect_report("no_barrier", "reverse_without_barrier");
  expect_report("write_after_read", "write_after_read");
  expect_report("blocks", "same_place_in_all_blocks");
  expect_report("no_fence", "last_block_without_fence");
  expect_report("no_syncwarp", "lanes_without_syncwarp");
  expect_report("no_barrier_after_copy", "copy_without_barrier");
}

TEST(RaceTest, thread_sanitizer_reports_missing_order_of_streams) {
  if (!emulator::under_thread_sanitizer()) GTEST_SKIP() << "not built with ThreadSanitizer";
  expect_report("no_event_wait", "data race");
  expect_report("dropped_event_wait", "data race");
  expect_report("dependent_launch_without_wait", "data race");
  expect_report("no_synchronize", "data race");
}

TEST(RaceTest, thread_sanitizer_reports_missing_order_of_collectives) {
  if (!emulator::under_thread_sanitizer()) GTEST_SKIP() << "not built with ThreadSanitizer";
  expect_report("no_wait_before_collective", "data race");
  expect_report("no_wait_after_collective", "data race");
  expect_report("broadcast_orders_after_its_root_alone", "data race");
}

TEST(RaceTest, address_sanitizer_reports_accesses_out_of_bounds) {
  if (!emulator::under_address_sanitizer()) GTEST_SKIP() << "not built with AddressSanitizer";
  expect_report("beyond_allocation", "write_beyond");
  expect_report("beyond_shared", "write_beyond_shared");
}

TEST(RaceTest, address_sanitizer_reports_host_reads_of_device_memory) {
  if (!emulator::under_address_sanitizer()) GTEST_SKIP() << "not built with AddressSanitizer";
  expect_report("host_reads_device", "use-after-poison");
}

}  // namespace
}  // namespace lockstep::test

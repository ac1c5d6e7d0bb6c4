#include "exit_check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "emulator/control.h"

namespace lockstep::emulator {

namespace {

void at_exit(int status, void*) {
  if (status != 0) return;
  const std::string left = held();
  if (left.empty()) return;
  std::fprintf(stderr, "emulator: not freed at exit: %s\n", left.c_str());
  std::fflush(nullptr);
  _exit(kNotFreed);
}

}  // namespace

void check_at_exit() {
  (void)on_exit(at_exit, nullptr);
}

}  // namespace lockstep::emulator

#include "kernels/race_reports.h"

#include <atomic>

namespace {

std::atomic<int> reports = 0;

}  // namespace

namespace lockstep::testing {

int race_reports() {
  return reports;
}

}  // namespace lockstep::testing

// ThreadSanitizer's own hooks, which it asks before it prints and when it starts.
namespace __tsan {

class ReportDesc;

bool OnReport(const ReportDesc*, bool) {
  ++reports;
  return true;  // not printed, and no failure of the program
}

}  // namespace __tsan

// Each mutation's races shall be reported, though another has had the same.
extern "C" const char* __tsan_default_options() {
  return "suppress_equal_stacks=0:suppress_equal_addresses=0:history_size=4";
}

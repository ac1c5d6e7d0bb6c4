#include "comm/mpi_wait.h"

#include <fmt/format.h>

#include <array>

#include "comm/mpi_check.h"
#include "lockstep/error.h"

namespace lockstep {

void check_mpi(int code, const char* call, const char* file, int line) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  (void)MPI_Error_string(code, text.data(), &length);
  throw Error(
      ErrorKind::communication,
      fmt::format("{}: {} ({}:{})", call, std::string_view(text.data(), length), file, line),
      "look for the rank that failed first, and at the network between the machines");
}

bool test_all(std::span<MPI_Request> requests) {
  if (requests.empty()) return true;
  int done = 0;
  check_mpi(
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
      "MPI_Testall");
  return done != 0;
}

void give_up_waiting(const std::string& self, const char* place, const std::string& missing,
                     double waited, const std::string& reason) {
  throw Error(ErrorKind::communication,
              fmt::format("{} waited {:.1f} s {} for {}{}", self, waited, place, missing,
                          reason.empty() ? "" : ": " + reason),
              reason.empty()
                  ? "a rank that is slow rather than stuck needs a longer --comm-timeout; between "
                    "machines, look at the interface that MPI took and at the firewall"
                  : "");
}

void wait_for_requests(const WaitPolicy& policy, std::span<MPI_Request> requests,
                       const std::string& self, const char* place,
                       const std::function<std::string()>& missing) {
  wait_until(
      policy, [&] { return test_all(requests); },
      [&](double waited, const std::string& reason) {
        give_up_waiting(self, place, missing(), waited, reason);
      });
}

}  // namespace lockstep

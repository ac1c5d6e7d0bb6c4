#include "comm/process_state.h"

#include <signal.h>

#include <cerrno>
#include <fstream>
#include <string>

namespace lockstep {

ProcessState process_state(int pid) {
  if (kill(pid, 0) != 0 && errno == ESRCH) return ProcessState::gone;
  // "77 (name, which may hold anything) S ..."
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return ProcessState::runs;
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= line.size()) return ProcessState::runs;
  switch (line[name_end + 2]) {
    case 'T':
    case 't': return ProcessState::stopped;
    case 'Z':
    case 'X': return ProcessState::gone;
    default: return ProcessState::runs;
  }
}

}  // namespace lockstep

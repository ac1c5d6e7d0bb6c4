#include "lockstep/error.h"

namespace lockstep {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::runtime: return 1;
    case ErrorKind::usage: return 2;
    case ErrorKind::data: return 3;
    case ErrorKind::device: return 4;
    case ErrorKind::communication: return 5;
    case ErrorKind::diverged:
    case ErrorKind::verification: return 6;
  }
  return 1;
}

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::runtime: return "runtime";
    case ErrorKind::usage: return "usage";
    case ErrorKind::data: return "data";
    case ErrorKind::device: return "device";
    case ErrorKind::communication: return "communication";
    case ErrorKind::diverged: return "diverged";
    case ErrorKind::verification: return "verification";
  }
  return "runtime";
}

}  // namespace lockstep

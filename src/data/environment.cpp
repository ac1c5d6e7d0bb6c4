#include "data/environment.h"

#include <cstdlib>

namespace lockstep {

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody calls setenv
  return value ? value : "";
}

}  // namespace lockstep

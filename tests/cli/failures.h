// A command line that fails: exit code, message, remedy, and the same in the document under --json.
#pragma once

#include <string>

#include "cli/process.h"

namespace lockstep::testing {

struct Failure {
  Words arguments;
  int exit_code;
  std::string names;  // in the message or its remedy
};

void expect_failure(const Failure& failing);

}  // namespace lockstep::testing

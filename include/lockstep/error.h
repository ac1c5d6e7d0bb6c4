// The one exception type of the library, and the exit codes that the program maps it to.
#pragma once

#include <stdexcept>
#include <string>

namespace lockstep {

// What kind of thing went wrong. The program's exit code follows from it (exit_code below).
enum class ErrorKind {
  runtime,        // anything without a better name, a failed write among them
  usage,          // options or configuration that cannot work
  data,           // a data set, checkpoint or other input file is missing or malformed
  device,         // no usable device or driver, out of device memory
  communication,  // a worker or rank did not answer, a collective failed
  diverged,       // the loss is not finite
  verification,   // a proof of `lockstep verify` failed
};

// Thrown by every part of the library. `what()` is the message alone: what failed, where (file,
// line, option), what was expected. `remedy()` says what to do about it; it may be empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::string remedy = {})
      : std::runtime_error(message), kind_(kind), remedy_(std::move(remedy)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& remedy() const { return remedy_; }

 private:
  ErrorKind kind_;
  std::string remedy_;
};

// The documented exit code of a kind: 1 runtime, 2 usage, 3 data, 4 device, 5 communication,
// 6 verification failed or training diverged.
int exit_code(ErrorKind kind);

// The kind's name in JSON: "runtime", "usage", ...
const char* to_string(ErrorKind kind);

}  // namespace lockstep

// stdout for results, stderr for everything else: narration, warnings, errors, a progress line.
#pragma once

#include <mutex>
#include <string>

#include "lockstep/error.h"

namespace lockstep::cli {

// Writes all of `text` to standard output and flushes it. Throws Error{runtime} with the system's
// reason: a full disk must not look like success.
void print_result(const std::string& text);

// Columns of the terminal behind stderr (or stdout, for --help); `otherwise` where there is none.
int terminal_width(int otherwise);

// Safe to call from several threads.
class Console {
 public:
  Console();

  void set_quiet(bool quiet) { quiet_ = quiet; }
  // Of a rank that is not the first: its narration is silent, and what is wrong with it says where,
  // "[rank 2 hostname]".
  void set_rank(const std::string& where) {
    where_ = where + ' ';
    mute_ = true;
  }

  // Narration: a line on stderr, not under --quiet.
  void note(const std::string& text);
  void warning(const std::string& text);
  void error(const Error& error);

  // A line that the next one replaces. Shown on a terminal only, and not under --quiet.
  void progress(const std::string& text);
  void clear_progress();
  bool shows_progress() const { return terminal_ && !quiet_ && !mute_; }

 private:
  void write(const std::string& text);
  std::string painted(const char* code, const std::string& text) const;

  std::mutex mutex_;
  std::string where_;
  bool mute_ = false;
  bool quiet_ = false;
  bool terminal_ = false;
  bool colour_ = false;
  bool progress_shown_ = false;
};

}  // namespace lockstep::cli

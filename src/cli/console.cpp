#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "data/environment.h"

namespace lockstep::cli {

namespace {

constexpr char kClearLine[] = "\r\x1b[K";
constexpr char kBoldRed[] = "1;31";
constexpr char kYellow[] = "33";

// A stderr that cannot be written to is no reason to stop: there is nobody left to tell.
void print_error(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

// https://no-color.org: any value that is not empty turns colour off.
bool colour_wanted() {
  const std::string terminal = environment_variable("TERM");
  const bool dumb = terminal.empty() || terminal == "dumb";
  return !dumb && environment_variable("NO_COLOR").empty();
}

}  // namespace

void print_result(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  throw Error(ErrorKind::runtime,
              fmt::format("standard output: {}", std::generic_category().message(errno)),
              "make room, or send the output elsewhere");
}

int terminal_width(int otherwise) {
  for (const int descriptor : {STDERR_FILENO, STDOUT_FILENO}) {
    winsize size{};
    if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  return otherwise;
}

Console::Console() : terminal_(isatty(STDERR_FILENO) == 1) {
  colour_ = terminal_ && colour_wanted();
}

void Console::note(const std::string& text) {
  if (!quiet_ && !mute_) write(text);
}

void Console::warning(const std::string& text) {
  if (!mute_) write(fmt::format("{} {}", painted(kYellow, "warning:"), text));
}

void Console::error(const Error& error) {
  std::string text = fmt::format("{} {}{}", painted(kBoldRed, "error:"), where_, error.what());
  if (!error.remedy().empty()) text += "\n  " + error.remedy();
  write(text);  // in one piece: other ranks may write too
}

void Console::progress(const std::string& text) {
  if (!shows_progress()) return;
  const std::lock_guard lock(mutex_);
  print_error(kClearLine + text);
  progress_shown_ = true;
}

void Console::clear_progress() {
  const std::lock_guard lock(mutex_);
  if (!progress_shown_) return;
  print_error(kClearLine);
  progress_shown_ = false;
}

void Console::write(const std::string& text) {
  clear_progress();
  const std::lock_guard lock(mutex_);
  print_error(text + "\n");
}

std::string Console::painted(const char* code, const std::string& text) const {
  return colour_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

}  // namespace lockstep::cli

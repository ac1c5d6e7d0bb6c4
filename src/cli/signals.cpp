#include "cli/signals.h"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace lockstep::cli {

namespace {

// A handler sees only globals. Lock-free atomics are what it may touch.
std::atomic<int> stop{0};
std::atomic<bool> polled{false};
std::atomic<const char*> document_text{nullptr};
static_assert(std::atomic<int>::is_always_lock_free);
static_assert(std::atomic<const char*>::is_always_lock_free);

void write_text(int descriptor, const char* text) {
  size_t left = std::strlen(text);
  while (left > 0) {
    const ssize_t written = write(descriptor, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

extern "C" void on_signal(int signal) {
  int none = 0;
  if (polled.load() && stop.compare_exchange_strong(none, signal)) return;
  const bool again = stop.load() != 0;
  write_text(STDERR_FILENO, again ? "\ninterrupted again: leaving at once\n"
                                  : "\ninterrupted: nothing was saved\n");
  if (const char* text = document_text.exchange(nullptr)) write_text(STDOUT_FILENO, text);
  _exit(128 + signal);
}

}  // namespace

void ignore_file_size_signal() {
  std::signal(SIGXFSZ, SIG_IGN);
}

void watch_signals(const std::string& document) {
  static std::string kept;  // the handler may need it until the process ends
  kept = document;
  document_text = kept.empty() ? nullptr : kept.c_str();
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void ignore_stop_signals() {
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
}

void disarm_document() {
  document_text = nullptr;
}

const std::atomic<int>& stop_signal() {
  return stop;
}

PollsStopSignal::PollsStopSignal() {
  polled = true;
}

PollsStopSignal::~PollsStopSignal() {
  polled = false;
}

}  // namespace lockstep::cli

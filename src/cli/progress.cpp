#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"

namespace lockstep::cli {

namespace {

// The part of the whole training that is done, in [0, 1].
double fraction_done(const Progress& progress) {
  const double steps = static_cast<double>(progress.steps_per_epoch);
  if (steps <= 0.0 || progress.epochs <= 0) return 0.0;
  const double done =
      static_cast<double>(progress.epoch - 1) * steps + static_cast<double>(progress.step);
  return std::clamp(done / (steps * static_cast<double>(progress.epochs)), 0.0, 1.0);
}

std::string bar(double fraction, int width) {
  const int filled = std::clamp(static_cast<int>(fraction * width), 0, width);
  std::string text(filled, '=');
  if (filled < width) text += '>';
  text.resize(width, ' ');
  return fmt::format("[{}]", text);
}

}  // namespace

std::string progress_line(const std::string& label, const Progress& progress, double eta_seconds,
                          int width) {
  constexpr int kShortestBar = 8;
  constexpr int kLongestBar = 30;
  const double fraction = fraction_done(progress);
  const std::string head = fmt::format("{}{}epoch {}/{} ", label, label.empty() ? "" : "  ",
                                       progress.epoch, progress.epochs);
  std::string tail = fmt::format(" {:3.0f} %  loss {:.4f}  {} samples/s", 100.0 * fraction,
                                 progress.loss, format_count(progress.samples_per_second));
  if (eta_seconds >= 0.0)
    tail += fmt::format("  ETA {}", format_seconds(std::max(1.0, eta_seconds)));
  // One column stays free: a full line would make the terminal go to the next one.
  const int room = width - static_cast<int>(head.size() + tail.size()) - 3;
  std::string line = head;
  if (room >= kShortestBar) line += bar(fraction, std::min(room, kLongestBar));
  line += tail;
  return line.substr(0, static_cast<size_t>(std::max(width - 1, 0)));
}

double EtaClock::eta(const Progress& progress, double now) {
  constexpr double kLeastSeconds = 0.5;
  const double fraction = fraction_done(progress);
  if (first_time_ < 0.0) {
    first_time_ = now;
    first_fraction_ = fraction;
  }
  const double elapsed = now - first_time_;
  const double gained = fraction - first_fraction_;
  if (elapsed < kLeastSeconds || gained <= 0.0) return -1.0;
  return elapsed / gained * (1.0 - fraction);
}

std::string epoch_line(const EpochRecord& epoch, int64_t epochs) {
  const auto digits = std::to_string(epochs).size();
  std::string text = fmt::format("epoch {:>{}}/{}  loss {:.4f}, accuracy {:.4f}", epoch.epoch,
                                 digits, epochs, epoch.train_loss, epoch.train_accuracy);
  if (epoch.test) {
    text +=
        fmt::format("  test loss {:.4f}, accuracy {:.4f}", epoch.test->loss, epoch.test->accuracy);
  }
  return text + fmt::format("  {}", format_seconds(epoch.seconds));
}

}  // namespace lockstep::cli

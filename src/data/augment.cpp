#include "lockstep/augment.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int32_t kMostCrop = 1024;

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorKind::usage, fmt::format("--augment {}: no such augmentation", text),
              fmt::format("use none, flip, crop:N or flip,crop:N with N from 1 to {}", kMostCrop));
}

int32_t parse_crop(std::string_view part, const std::string& text) {
  int32_t crop = 0;
  const std::string_view number = part.substr(std::string_view("crop:").size());
  const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), crop);
  if (status != std::errc() || end != number.data() + number.size()) refuse(text);
  if (crop < 1 || crop > kMostCrop) refuse(text);
  return crop;
}

}  // namespace

std::optional<Augmentation> parse_augmentation(const std::string& text, uint64_t seed,
                                               const std::optional<ImageShape>& image) {
  if (text.empty() || text == "none") return std::nullopt;
  Augmentation augmentation{.seed = seed, .image = {}};
  std::string_view rest = text;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    if (part == "flip" && !augmentation.flip) {
      augmentation.flip = true;
    } else if (part.starts_with("crop:") && augmentation.crop == 0) {
      augmentation.crop = parse_crop(part, text);
    } else {
      refuse(text);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (!image) {
    throw Error(
        ErrorKind::usage, fmt::format("--augment {} moves images; these data are none", text),
        "leave it out, or use images (mnist, cifar10, digits, npy arrays of N x C x H x W)");
  }
  augmentation.image = *image;
  return augmentation;
}

}  // namespace lockstep

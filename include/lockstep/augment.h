// Images shifted and mirrored at random while they train, as a pure function of (seed, epoch,
// sample): the same in every execution mode and on every device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lockstep/host_device.h"
#include "lockstep/image.h"
#include "lockstep/rng.h"

namespace lockstep {

// What is done to one image: shifted by (dy, dx), then mirrored.
struct ImageMove {
  int32_t dy = 0, dx = 0;
  bool mirrored = false;
};

// Random crops of an image with `crop` zeros around it, and horizontal mirroring of every other
// image (as He et al. 2016, sec. 4.2, train on CIFAR-10). The zeros are the data's own, before
// normalisation.
struct Augmentation {
  uint64_t seed = 0;
  ImageShape image;
  int32_t crop = 0;  // pixels, 0 to 1024
  bool flip = false;

  LOCKSTEP_HD ImageMove move(uint32_t epoch, uint64_t sample) const {
    const RandomStream stream{seed, Purpose::augment, 0, epoch};
    const Philox4 words = stream.draw(sample, 0);
    // A word times the number of shifts, its upper half: as even as 32 bits can be.
    const uint32_t shifts = 2 * static_cast<uint32_t>(crop) + 1;
    ImageMove move;
    move.dy = static_cast<int32_t>((uint64_t{words.x} * shifts) >> 32) - crop;
    move.dx = static_cast<int32_t>((uint64_t{words.y} * shifts) >> 32) - crop;
    move.mirrored = flip && (words.z >> 31) != 0;
    return move;
  }

  // Where feature `j` of the moved image is read from, or -1 for a zero beyond the edge.
  LOCKSTEP_HD int32_t source(const ImageMove& move, int32_t j) const {
    const auto width = static_cast<int32_t>(image.width);
    const auto height = static_cast<int32_t>(image.height);
    const int32_t column = j % width, rows = j / width;
    const int32_t row = rows % height;
    const int32_t y = row + move.dy;
    const int32_t x = (move.mirrored ? width - 1 - column : column) + move.dx;
    if (y < 0 || y >= height || x < 0 || x >= width) return -1;
    return (rows - row + y) * width + x;
  }
};

// "none", "flip", "crop:N" or both, "flip,crop:4". Empty for none. Throws Error{usage} for other
// texts, and for data that are no images.
std::optional<Augmentation> parse_augmentation(const std::string& text, uint64_t seed,
                                               const std::optional<ImageShape>& image);

}  // namespace lockstep

#include "data/normals.h"

namespace lockstep {

void fill_normals(const RandomStream& stream, uint64_t first_row, int64_t rows, int64_t columns,
                  float* out) {
  for (int64_t row = 0; row < rows; ++row, out += columns) {
    const uint64_t sample = first_row + static_cast<uint64_t>(row);
    for (int64_t pair = 0; pair < columns / 2; ++pair) {
      const Philox4 words = stream.draw(sample, static_cast<uint32_t>(pair));
      out[2 * pair] = normal_from(words.x, words.y);
      out[2 * pair + 1] = normal_from(words.z, words.w);
    }
    if (columns % 2 == 1) {
      const Philox4 words = stream.draw(sample, static_cast<uint32_t>(columns / 2));
      out[columns - 1] = normal_from(words.x, words.y);
    }
  }
}

}  // namespace lockstep

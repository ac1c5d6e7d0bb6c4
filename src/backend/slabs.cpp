#include "backend/slabs.h"

#include <algorithm>

namespace lockstep {

std::vector<Slab> slabs_of(const TensorSpec& weight, size_t slab_floats, int64_t tile_units) {
  const int64_t rows = weight.rows(), columns = weight.columns();
  int64_t units = std::max<int64_t>(static_cast<int64_t>(slab_floats) / columns, 1);
  if (units > tile_units) units = units / tile_units * tile_units;
  std::vector<Slab> slabs;
  size_t reported = weight.range().end;
  for (int64_t end = rows; end > 0; end -= units) {
    const int64_t begin = std::max<int64_t>(end - units, 0);
    const size_t first = begin == 0 ? weight.offset : padded(weight.offset + begin * columns);
    const size_t final_from = std::min(first, reported);
    slabs.push_back({{begin, end}, {final_from, reported}});
    reported = final_from;
  }
  return slabs;
}

}  // namespace lockstep

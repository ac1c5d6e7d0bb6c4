// The header of a NPY file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/element.h"
#include "data/mapped_file.h"

namespace lockstep {

struct NpyHeader {
  ElementFormat format;
  bool fortran_order = false;
  std::vector<int64_t> shape;  // empty: a scalar
  size_t offset = 0;           // of the first element in the file
};

// Error{data} with the place and what was expected. The sizes are what the header claims.
NpyHeader parse_npy_header(const MappedFile& file);

}  // namespace lockstep

// Checksums of downloaded files.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

struct Checksum {
  enum class Kind {
    md5_of_file,        // as published for archives
    sha256_of_content,  // of the bytes inside a gzip file, however they were compressed
  } kind = Kind::md5_of_file;
  std::string hex;
  uint64_t content_size = 0;  // bytes, for sha256_of_content
};

// Empty where the file has the checksum, else what is wrong with it.
std::string check_file(const std::string& path, const Checksum& expected);

}  // namespace lockstep

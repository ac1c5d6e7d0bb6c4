// The decoded bytes of a plain or gzip-compressed file, in order.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "data/mapped_file.h"

namespace lockstep {

// One reader, one thread. Decodes from the mapped file straight into the caller's memory.
class ByteStream {
 public:
  // gzip is recognised by its magic number, not by the file's name. Errors as MappedFile::open.
  static std::unique_ptr<ByteStream> open(const std::string& path);
  virtual ~ByteStream() = default;

  // Fills `out` wholly, else throws Error{data}: "truncated: expected N more bytes of WHAT", or
  // where the compressed data is damaged.
  virtual void read(std::span<std::byte> out, const char* what) = 0;

  // Throws Error{data} when bytes are left over.
  virtual void expect_end() = 0;

  // An upper bound of the decoded size that costs nothing to know: exact for plain files, what
  // DEFLATE can reach at most (1032:1) for compressed ones. Headers that claim more are lying.
  virtual uint64_t size_bound() const = 0;

  // The file, where its decoded bytes are its own: nullptr for compressed files.
  virtual std::shared_ptr<MappedFile> plain_file() const = 0;

  virtual const std::string& path() const = 0;
  virtual uint64_t offset() const = 0;  // decoded bytes handed out so far
};

}  // namespace lockstep

#include "data/byte_stream.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "data/failure.h"

namespace lockstep {
namespace {

constexpr char kDamaged[] = "the file or its header is damaged: copy or download it again";

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(std::shared_ptr<MappedFile> file) : file_(std::move(file)), pages_(*file_) {}

  void read(std::span<std::byte> out, const char* what) override {
    const size_t left = file_->size() - offset_;
    if (left < out.size()) {
      fail_at(path(), fmt::format("byte {}", file_->size()),
              fmt::format("truncated: expected {} more bytes of {}", out.size() - left, what),
              "copy or download the file again");
    }
    if (!out.empty()) std::memcpy(out.data(), file_->bytes().data() + offset_, out.size());
    offset_ += out.size();
    pages_.passed(offset_);
  }

  void expect_end() override {
    if (offset_ == file_->size()) return;
    fail_at(path(), fmt::format("byte {}", offset_),
            fmt::format("expected the end of the file, {} bytes follow", file_->size() - offset_),
            kDamaged);
  }

  uint64_t size_bound() const override { return file_->size(); }
  std::shared_ptr<MappedFile> plain_file() const override { return file_; }
  const std::string& path() const override { return file_->path(); }
  uint64_t offset() const override { return offset_; }

 private:
  std::shared_ptr<MappedFile> file_;
  PassedPages pages_;
  size_t offset_ = 0;
};

class GzipStream final : public ByteStream {
 public:
  explicit GzipStream(std::shared_ptr<MappedFile> file) : file_(std::move(file)) {
    constexpr int kGzipOnly = 15 + 16;  // the largest window; the header must be gzip's
    if (inflateInit2(&zlib_, kGzipOnly) != Z_OK)
      fail_at(path(), "", "zlib cannot be initialised", "free memory, or unpack the file first");
  }
  ~GzipStream() override { inflateEnd(&zlib_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  void read(std::span<std::byte> out, const char* what) override {
    const size_t got = inflate_into(out);
    if (got == out.size()) return;
    fail_at(path(), fmt::format("byte {}", consumed()),
            fmt::format("truncated: the compressed data ends, expected {} more bytes of {}",
                        out.size() - got, what),
            "copy or download the file again");
  }

  // Also reads the last member's checksum, which lies behind the last byte of data.
  void expect_end() override {
    std::byte extra{};
    if (inflate_into({&extra, 1}) == 0) return;
    fail_at(path(), fmt::format("decoded byte {}", offset_ - 1),
            "expected the end of the data, more follows", kDamaged);
  }

  uint64_t size_bound() const override { return uint64_t{file_->size()} * 1032; }
  std::shared_ptr<MappedFile> plain_file() const override { return nullptr; }
  const std::string& path() const override { return file_->path(); }
  uint64_t offset() const override { return offset_; }

 private:
  // Compressed bytes used so far.
  size_t consumed() const { return fed_ - zlib_.avail_in; }

  // Returns the bytes decoded: fewer than asked for only at the end of the file.
  size_t inflate_into(std::span<std::byte> out) {
    constexpr size_t kStep = std::numeric_limits<uInt>::max() / 2;
    size_t got = 0;
    while (got < out.size() && (!member_done_ || begin_next_member())) {
      const size_t wanted = std::min(out.size() - got, kStep);
      zlib_.next_out = reinterpret_cast<Bytef*>(out.data() + got);
      zlib_.avail_out = static_cast<uInt>(wanted);
      const int status = inflate(&zlib_, Z_NO_FLUSH);
      const size_t produced = wanted - zlib_.avail_out;
      got += produced;
      offset_ += produced;
      member_done_ = status == Z_STREAM_END;
      if (status != Z_OK && status != Z_BUF_ERROR && !member_done_) fail_damaged();
      if (zlib_.avail_in == 0 && zlib_.avail_out > 0 && !member_done_ && !feed()) fail_truncated();
    }
    return got;
  }

  // Hands zlib the next part of the file (its counters are 32 bits wide); false at the file's end.
  bool feed() {
    if (fed_ == file_->size()) return false;
    constexpr size_t kStep = size_t{1} << 24;
    const size_t part = std::min(file_->size() - fed_, kStep);
    file_->release_before(fed_);
    zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(file_->bytes().data() + fed_));
    zlib_.avail_in = static_cast<uInt>(part);
    fed_ += part;
    return true;
  }

  // A gzip file may hold several members, whose data is joined.
  bool begin_next_member() {
    if (zlib_.avail_in == 0 && !feed()) return false;
    inflateReset(&zlib_);
    member_done_ = false;
    return true;
  }

  [[noreturn]] void fail_damaged() const {
    fail_at(path(), fmt::format("byte {}", consumed()),
            fmt::format("the gzip data is damaged ({})", zlib_.msg ? zlib_.msg : "unknown reason"),
            "copy or download the file again");
  }

  [[noreturn]] void fail_truncated() const {
    fail_at(
        path(), fmt::format("byte {}", file_->size()),
        fmt::format("truncated: the compressed data breaks off after {} decoded bytes", offset_),
        "copy or download the file again");
  }

  std::shared_ptr<MappedFile> file_;
  z_stream zlib_{};
  size_t fed_ = 0;
  uint64_t offset_ = 0;
  bool member_done_ = false;
};

bool is_gzip(const MappedFile& file) {
  const auto bytes = file.bytes();
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

}  // namespace

std::unique_ptr<ByteStream> ByteStream::open(const std::string& path) {
  auto file = MappedFile::open(path);
  if (is_gzip(*file)) return std::make_unique<GzipStream>(std::move(file));
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace lockstep

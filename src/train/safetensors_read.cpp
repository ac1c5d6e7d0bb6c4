#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

#include "lockstep/error.h"
#include "train/bounded_json.h"
#include "train/safetensors.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "tensors and lengths are read as they lie in the file");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

// Names from the file are shown escaped: they may hold anything.
std::string escaped(const std::string& name) {
  return Json(name.substr(0, 80)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

uint64_t bytes_of_type(const std::string& type) {
  if (type == "F64" || type == "I64" || type == "U64") return 8;
  if (type == "F32" || type == "I32" || type == "U32") return 4;
  if (type == "F16" || type == "BF16" || type == "I16" || type == "U16") return 2;
  if (type == "I8" || type == "U8" || type == "BOOL") return 1;
  return 0;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return Json(shape).dump();
}

// Whether `unit` times the product of `shape` is `expected`, without overflow.
bool product_is(const std::vector<int64_t>& shape, uint64_t unit, uint64_t expected) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return expected == 0;
  uint64_t product = unit;
  for (const int64_t extent : shape) {
    if (product > expected / static_cast<uint64_t>(extent)) return false;
    product *= static_cast<uint64_t>(extent);
  }
  return product == expected;
}

// One entry of the header; an empty `problem` where it is as the format wants it.
SafetensorsFile::Tensor parse_entry(const Json& entry, uint64_t data_begin, uint64_t file_bytes,
                                    std::string& problem) {
  SafetensorsFile::Tensor tensor;
  const auto is_count = [](const Json& value) {
    return value.is_number_unsigned() && value.get<uint64_t>() < (uint64_t{1} << 62);
  };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
      !entry.contains("shape") || !entry["shape"].is_array() || !entry.contains("data_offsets") ||
      !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2) {
    problem = "expected an object with dtype, shape and two data_offsets";
    return tensor;
  }
  const Json& shape = entry["shape"];
  const Json& offsets = entry["data_offsets"];
  if (!std::all_of(shape.begin(), shape.end(), is_count) ||
      !std::all_of(offsets.begin(), offsets.end(), is_count)) {
    problem = "shape and data_offsets must be whole numbers, 0 or more";
    return tensor;
  }
  tensor.type = entry["dtype"].get<std::string>();
  tensor.shape = shape.get<std::vector<int64_t>>();
  const uint64_t begin = offsets[0], end = offsets[1], available = file_bytes - data_begin;
  const uint64_t unit = bytes_of_type(tensor.type);
  if (begin > end || end > available) {
    problem = "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) +
              ") do not lie in the file's " + std::to_string(available) + " bytes of data";
  } else if (unit == 0) {
    problem = "dtype " + escaped(tensor.type) + " is not known";
  } else if (!product_is(tensor.shape, unit, end - begin)) {
    problem = std::to_string(end - begin) + " bytes do not hold dtype " + tensor.type + ", shape " +
              shape_text(tensor.shape).substr(0, 200);
  }
  tensor.offset = data_begin + begin;
  tensor.bytes = end - begin;
  return tensor;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)) {
  const uint64_t bytes = open_and_measure();
  try {
    read_header(bytes);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  ::close(descriptor_);
}

void SafetensorsFile::fail(const std::string& message) const {
  throw Error(ErrorKind::data, "'" + path_ + "': " + message, kCheckpointRemedy);
}

uint64_t SafetensorsFile::open_and_measure() {
  // Without O_NONBLOCK a pipe of that name would hang here.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail("cannot open: " + std::generic_category().message(errno));
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail(S_ISDIR(status.st_mode) ? "is a folder, expected a file" : "is not a regular file");
  }
  return static_cast<uint64_t>(status.st_size);
}

void SafetensorsFile::read_at(void* out, size_t bytes, uint64_t offset) const {
  char* position = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, position, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read: " + std::generic_category().message(errno));
    if (got == 0) fail("ends at byte " + std::to_string(offset) + " while it is being read");
    position += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

void SafetensorsFile::read_header(uint64_t file_bytes) {
  if (file_bytes < kLengthBytes) {
    fail("has " + std::to_string(file_bytes) +
         " bytes; a safetensors file starts with 8 that "
         "hold the header's length");
  }
  uint64_t length = 0;
  read_at(&length, sizeof length, 0);
  if (length > file_bytes - kLengthBytes) {
    fail("bytes 0-7 claim a header of " + std::to_string(length) + " bytes, the file has " +
         std::to_string(file_bytes - kLengthBytes) +
         " after them: no safetensors file, or cut off");
  }
  if (length > kMaxHeaderBytes) {
    fail("the header has " + std::to_string(length) + " bytes, at most 100000000 are allowed");
  }
  std::string text(length, '\0');
  read_at(text.data(), text.size(), kLengthBytes);
  const Json header = parse_bounded_json(text, "'" + path_ + "': the header", ErrorKind::data);
  if (!header.is_object()) fail("the header is not a JSON object");

  const uint64_t data_begin = kLengthBytes + length;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail("__metadata__ " + escaped(key) + " is not a string");
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    std::string problem;
    tensors_[name] = parse_entry(entry, data_begin, file_bytes, problem);
    if (!problem.empty()) fail("tensor " + escaped(name) + ": " + problem);
  }
  check_tiling(data_begin, file_bytes);
}

void SafetensorsFile::check_tiling(uint64_t data_begin, uint64_t file_bytes) const {
  std::vector<std::pair<const std::string*, const Tensor*>> order;
  for (const auto& [name, tensor] : tensors_) order.emplace_back(&name, &tensor);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->offset, a.second->bytes) <
           std::pair(b.second->offset, b.second->bytes);
  });
  uint64_t expected = data_begin;
  for (const auto& [name, tensor] : order) {
    if (tensor->offset != expected) {
      fail("tensor " + escaped(*name) + " starts at byte " +
           std::to_string(tensor->offset - data_begin) +
           " of the data, the one before it ends at " + std::to_string(expected - data_begin));
    }
    expected += tensor->bytes;
  }
  if (expected != file_bytes) {
    fail(std::to_string(file_bytes - expected) + " bytes after the last tensor belong to none");
  }
}

void SafetensorsFile::expect(const std::string& name, const std::vector<int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("tensor '" + name + "' is missing");
  const Tensor& tensor = found->second;
  if (tensor.type != "F32") {
    fail("tensor '" + name + "' has dtype " + tensor.type + ", expected F32");
  }
  if (tensor.shape != shape) {
    fail("tensor '" + name + "' has shape " + shape_text(tensor.shape).substr(0, 200) +
         ", expected " + shape_text(shape));
  }
}

void SafetensorsFile::read(const std::string& name, std::span<float> out) const {
  const Tensor& tensor = tensors_.at(name);
  read_at(out.data(), out.size_bytes(), tensor.offset);
}

}  // namespace lockstep

// Reading and writing safetensors files: 8 bytes with the header's length (little-endian), a JSON
// header of names, types, shapes and offsets, then the tensors' bytes
// (https://github.com/huggingface/safetensors, "Format").
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace lockstep {

// A float32 tensor to write. `data` holds the product of `shape` floats, row-major.
struct TensorView {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> data;
};

// Writes `tensors` in the given order, atomically; `metadata` becomes `__metadata__`. Throws
// Error{runtime} naming the path and the system's reason.
void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<TensorView>& tensors);

// An open file whose header has been read and checked: every offset lies in the file, the tensors
// tile it without gap or overlap, and each one's bytes fit its type and shape. Nothing that the
// header claims is allocated before it is checked against the file's size.
class SafetensorsFile {
 public:
  struct Tensor {
    std::string type;  // "F32", "BF16", ...
    std::vector<int64_t> shape;
    uint64_t offset = 0;  // bytes from the start of the file
    uint64_t bytes = 0;
  };

  // Throws Error{data} naming the file, the place in it and what was expected.
  explicit SafetensorsFile(std::string path);
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  ~SafetensorsFile();

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

  // Throws Error{data} unless the file holds a float32 tensor `name` of `shape`.
  void expect(const std::string& name, const std::vector<int64_t>& shape) const;

  // Reads tensor `name`. REQUIRES: expect() passed, `out` has as many floats.
  void read(const std::string& name, std::span<float> out) const;

  // Throws Error{data}: "'PATH': MESSAGE".
  [[noreturn]] void fail(const std::string& message) const;

 private:
  uint64_t open_and_measure();
  void read_header(uint64_t file_bytes);
  void check_tiling(uint64_t data_begin, uint64_t file_bytes) const;
  void read_at(void* out, size_t bytes, uint64_t offset) const;

  std::string path_;
  int descriptor_ = -1;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace lockstep

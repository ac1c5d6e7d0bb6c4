// A zero-initialised array aligned for SIMD and for cache lines. Not shared-ownership: move only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace lockstep {

inline constexpr size_t kAlignment = 128;  // bytes: two cache lines, one AVX-512 pair
inline constexpr size_t kPadFloats = kAlignment / sizeof(float);

// Rounds a count of floats up to whole 128-byte blocks.
constexpr size_t padded(size_t floats) {
  return (floats + kPadFloats - 1) / kPadFloats * kPadFloats;
}

// Zeroed memory, 128-byte aligned; 2 MiB aligned and advised for huge pages from 4 MiB on.
// Throws Error{runtime} with the size when it cannot be had. Free with deallocate_aligned.
void* allocate_aligned(size_t bytes);
void deallocate_aligned(void* pointer, size_t bytes) noexcept;

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(size_t size)
      : data_(size ? static_cast<T*>(allocate_aligned(size * sizeof(T))) : nullptr), size_(size) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() {
    if (data_) deallocate_aligned(data_, size_ * sizeof(T));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lockstep

// Temporary folders and files in the formats that the readers take, for their tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/load.h"
#include "lockstep/data.h"
#include "lockstep/error.h"

namespace lockstep {

// An empty folder that goes when the object goes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string path(const std::string& name = "") const { return (folder_ / name).string(); }
  // Writes a file, making its folder; returns its path.
  std::string write(const std::string& name, std::string_view content) const;

 private:
  std::filesystem::path folder_;
};

// Sets an environment variable for the object's life; nullptr unsets it.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const char* value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  void set(const char* value) const;
  std::string name_;
  std::string before_;
  bool was_set_ = false;
};

// The bytes of values side by side, little-endian as the machine has them.
template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string gzipped(std::string_view content);
std::string idx(uint8_t type, const std::vector<uint32_t>& sizes, std::string_view payload);
std::string npy(const std::string& descr, bool fortran_order, const std::string& shape,
                std::string_view payload, int version = 1);
// n records; the label of record i is i % 10, its pixel j is (i + j) % 251.
std::string cifar_records(int n, int first = 0);

// What the function throws; a test failure where it throws nothing or something else.
template <class Function>
Error error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an Error, nothing was thrown";
  return Error(ErrorKind::runtime, "nothing was thrown");
}

Dataset load(const std::string& spec);
Dataset load(const DataConfig& config, uint64_t seed = 1);
// What loading the SPEC throws; checks that it is a data error and has a remedy or names a place.
std::string load_error(const std::string& spec);

// The values of a split's features as floats, row after row.
std::vector<float> values_of(const Split& split);

// Reads everything into memory; maps everything that can be mapped.
inline constexpr LoadLimits kReadAll{UINT64_MAX};
inline constexpr LoadLimits kMapAll{0};

// The folder of a real data set: in $LOCKSTEP_DATA, data/ or ../shared/data of the source tree.
// Empty where it is absent: the caller skips, loudly.
std::string real_data_folder(const std::string& name);

}  // namespace lockstep

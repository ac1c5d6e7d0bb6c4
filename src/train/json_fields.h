// Typed access to a JSON document that may hold anything: each getter checks, and an error names
// the path of the field ("'model.safetensors': lockstep.model.layers[2].inputs").
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep {

// A value and its path. Holds a reference: the document must outlive it. All getters throw
// Error{data}.
class JsonField {
 public:
  JsonField(const nlohmann::json& json, std::string path) : json_(json), path_(std::move(path)) {}

  const nlohmann::json& json() const { return json_; }
  bool has(const char* key) const;
  JsonField at(const char* key) const;  // REQUIRED member of an object
  size_t size() const;                  // of an array
  JsonField element(size_t i) const;    // of an array, i < size()

  int64_t integer(int64_t least, int64_t most) const;
  uint64_t unsigned_integer() const;
  double number() const;  // finite
  bool boolean() const;
  std::string text() const;
  std::vector<float> floats() const;  // each finite

  [[noreturn]] void fail(const std::string& what) const;

 private:
  const nlohmann::json& json_;
  std::string path_;
};

}  // namespace lockstep

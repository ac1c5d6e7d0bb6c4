#include "train/json_fields.h"

#include <cmath>
#include <limits>

#include "lockstep/error.h"
#include "train/bounded_json.h"

namespace lockstep {

void JsonField::fail(const std::string& what) const {
  throw Error(ErrorKind::data, path_ + " " + what, kCheckpointRemedy);
}

bool JsonField::has(const char* key) const {
  return json_.is_object() && json_.contains(key);
}

JsonField JsonField::at(const char* key) const {
  if (!json_.is_object()) fail("is not an object");
  const auto found = json_.find(key);
  if (found == json_.end()) fail(std::string("lacks '") + key + "'");
  return {*found, path_ + "." + key};
}

size_t JsonField::size() const {
  if (!json_.is_array()) fail("is not an array");
  return json_.size();
}

JsonField JsonField::element(size_t i) const {
  return {json_[i], path_ + "[" + std::to_string(i) + "]"};
}

int64_t JsonField::integer(int64_t least, int64_t most) const {
  // Numbers from 2^63 on are unsigned to the parser and would wrap.
  const bool fits = json_.is_number_integer() &&
                    (!json_.is_number_unsigned() ||
                     json_.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  const int64_t value = fits ? json_.get<int64_t>() : 0;
  if (!fits || value < least || value > most) {
    fail("is not a whole number between " + std::to_string(least) + " and " + std::to_string(most));
  }
  return value;
}

uint64_t JsonField::unsigned_integer() const {
  if (!json_.is_number_unsigned()) fail("is not a whole number between 0 and 2^64 - 1");
  return json_.get<uint64_t>();
}

double JsonField::number() const {
  if (!json_.is_number() || !std::isfinite(json_.get<double>())) fail("is not a finite number");
  return json_.get<double>();
}

bool JsonField::boolean() const {
  if (!json_.is_boolean()) fail("is not true or false");
  return json_.get<bool>();
}

std::string JsonField::text() const {
  if (!json_.is_string()) fail("is not a string");
  return json_.get<std::string>();
}

std::vector<float> JsonField::floats() const {
  std::vector<float> values;
  for (size_t i = 0; i < size(); ++i) {
    const double value = element(i).number();
    if (std::abs(value) > double{std::numeric_limits<float>::max()}) {
      element(i).fail("does not fit a 32-bit float");
    }
    values.push_back(static_cast<float>(value));
  }
  return values;
}

}  // namespace lockstep

#include "cli/schema.h"

#include <algorithm>
#include <cstdlib>

#include "cli/process.h"

namespace lockstep::testing {

namespace {

using nlohmann::json;

bool is_of_type(const json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return type == "null" && value.is_null();
}

class Checker {
 public:
  explicit Checker(json schema) : schema_(std::move(schema)) {}

  std::vector<std::string> check(const json& document) {
    check(document, schema_, "");
    return errors_;
  }

 private:
  void fail(const std::string& path, const std::string& what) {
    errors_.push_back(path + ": " + what);
  }

  void check(const json& value, const json& schema, const std::string& path) {
    if (schema.contains("$ref")) {
      const std::string reference = schema["$ref"];
      return check(value, schema_.at(json::json_pointer(reference.substr(1))), path);
    }
    if (schema.contains("const") && value != schema["const"]) fail(path, "not the constant");
    if (schema.contains("enum") && !std::ranges::count(schema["enum"], value)) {
      fail(path, "not one of the values: " + value.dump());
    }
    if (schema.contains("type") && !has_type(value, schema["type"])) {
      return fail(path, "not " + schema["type"].dump() + ": " + value.dump());
    }
    if (value.is_object()) check_members(value, schema, path);
    if (value.is_array() && schema.contains("items")) {
      for (size_t i = 0; i < value.size(); ++i) {
        check(value[i], schema["items"], path + "/" + std::to_string(i));
      }
    }
  }

  static bool has_type(const json& value, const json& types) {
    if (types.is_string()) return is_of_type(value, types);
    return std::ranges::any_of(
        types, [&](const json& type) { return is_of_type(value, type.get<std::string>()); });
  }

  void check_members(const json& value, const json& schema, const std::string& path) {
    const json required = schema.value("required", json::array());
    for (const json& key : required) {
      if (!value.contains(key.get<std::string>())) fail(path, "lacks " + key.dump());
    }
    const json properties = schema.value("properties", json::object());
    for (const auto& [key, member] : properties.items()) {
      if (value.contains(key)) check(value[key], member, path + "/" + key);
    }
  }

  json schema_;
  std::vector<std::string> errors_;
};

}  // namespace

std::vector<std::string> schema_errors(const json& document) {
  // LOCKSTEP_TEST_SCHEMA names it where the source was moved.
  const char* moved = std::getenv("LOCKSTEP_TEST_SCHEMA");
  return Checker(json::parse(read_file(moved != nullptr ? moved : LOCKSTEP_SCHEMA)))
      .check(document);
}

}  // namespace lockstep::testing

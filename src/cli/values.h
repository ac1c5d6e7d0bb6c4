// The texts of option values: one parse_value (text to value) and one to_json (value to JSON) for
// each type that an option can have. Flags, LOCKSTEP_* variables and TOML values all pass here.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "lockstep/config.h"
#include "train/nearest.h"

namespace lockstep::cli {

using Json = nlohmann::ordered_json;

// A text that is no value of the type. `expected` completes "'abc' is not ..."; `remedy` may be
// empty. The caller knows which option it was for and throws Error{usage}.
struct BadValue {
  std::string expected;
  std::string remedy = {};
};

// The names of an enumeration's values; the first name of a value is the one that is written.
template <class E>
using Names = std::vector<std::pair<const char*, E>>;
const Names<bool>& names_of(bool);
const Names<Shuffle>& names_of(Shuffle);
const Names<Precision>& names_of(Precision);
const Names<OptimizerKind>& names_of(OptimizerKind);
const Names<ScaleLearningRate>& names_of(ScaleLearningRate);
const Names<Strategy>& names_of(Strategy);
const Names<SyncState>& names_of(SyncState);
const Names<UpdateKind>& names_of(UpdateKind);
const Names<AllReduceChoice>& names_of(AllReduceChoice);
const Names<Toggle>& names_of(Toggle);
const Names<SparseInput>& names_of(SparseInput);
const Names<DataPlacement>& names_of(DataPlacement);
const Names<MpiTransport>& names_of(MpiTransport);
const Names<Gemm>& names_of(Gemm);
const Names<GradientType>& names_of(GradientType);
const Names<NcclRegister>& names_of(NcclRegister);

template <class E>
concept Named = std::is_enum_v<E> || std::is_same_v<E, bool>;

template <Named E>
void parse_value(const std::string& text, E& value) {
  std::vector<std::string> known;
  std::string list;
  for (const auto& [name, named] : names_of(E{})) {
    if (text == name) {
      value = named;
      return;
    }
    known.emplace_back(name);
    list.append(list.empty() ? "" : ", ").append(name);
  }
  throw BadValue{"one of " + list, suggestion(text, known)};
}

void parse_value(const std::string& text, std::string& value);
void parse_value(const std::string& text, int& value);
void parse_value(const std::string& text, int64_t& value);
void parse_value(const std::string& text, uint64_t& value);
void parse_value(const std::string& text, double& value);
void parse_value(const std::string& text, std::vector<int>& value);
void parse_value(const std::string& text, std::vector<int64_t>& value);
void parse_value(const std::string& text, std::vector<std::string>& value);
void parse_value(const std::string& text, SyncEvery& value);
void parse_value(const std::string& text, CheckpointEvery& value);
void parse_value(const std::string& text, StepRange& value);
void parse_value(const std::string& text, ScheduleConfig& value);  // all but warmup_epochs

template <class E>
requires std::is_enum_v<E> Json to_json(E value) {
  for (const auto& [name, named] : names_of(E{})) {
    if (named == value) return name;
  }
  return nullptr;
}

// Numbers, texts and lists of them. Infinity is the text "inf": JSON has no number for it.
template <class T>
requires std::is_constructible_v<Json, T> &&(!std::is_enum_v<T>)Json to_json(const T& value) {
  return Json(value);
}
Json to_json(double value);
Json to_json(const SyncEvery& value);
Json to_json(const CheckpointEvery& value);
Json to_json(const StepRange& value);
Json to_json(const ScheduleConfig& value);

template <class T>
void parse_value(const std::string& text, std::optional<T>& value) {
  T parsed{};
  parse_value(text, parsed);
  value = parsed;
}

template <class T>
Json to_json(const std::optional<T>& value) {
  return value ? to_json(*value) : Json(nullptr);
}

// The text at "a,b,c" split at commas; no entries for an empty text.
std::vector<std::string> split_list(const std::string& text);

}  // namespace lockstep::cli

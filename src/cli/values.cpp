#include "cli/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

namespace lockstep::cli {

namespace {

// The whole of `text` as a number, or nothing. Independent of the locale.
template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

template <class T>
std::string whole_numbers() {
  using Limits = std::numeric_limits<T>;
  return fmt::format("a whole number from {} to {}", Limits::min(), Limits::max());
}

// Digits that are too many for T are told its range.
template <class T>
void parse_integer(const std::string& text, T& value) {
  const auto parsed = number<T>(text);
  if (!parsed) {
    const bool digits = !text.empty() && text.find_first_not_of("-0123456789") == text.npos;
    throw BadValue{digits ? whole_numbers<T>() : "a whole number"};
  }
  value = *parsed;
}

template <class T>
void parse_integers(const std::string& text, std::vector<T>& value) {
  std::vector<T> parsed;
  for (const std::string& part : split_list(text)) {
    const auto entry = number<T>(part);
    if (!entry) throw BadValue{"a list of whole numbers", "separate them by commas: 256,128"};
    parsed.push_back(*entry);
  }
  value = std::move(parsed);
}

}  // namespace

const Names<bool>& names_of(bool) {
  static const Names<bool> names = {{"true", true}, {"false", false}, {"1", true},  {"0", false},
                                    {"yes", true},  {"no", false},    {"on", true}, {"off", false}};
  return names;
}

const Names<Shuffle>& names_of(Shuffle) {
  static const Names<Shuffle> names = {{"epoch", Shuffle::epoch}, {"none", Shuffle::none}};
  return names;
}

const Names<Precision>& names_of(Precision) {
  static const Names<Precision> names = {
      {"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};
  return names;
}

const Names<OptimizerKind>& names_of(OptimizerKind) {
  static const Names<OptimizerKind> names = {
      {"sgd", OptimizerKind::sgd}, {"adam", OptimizerKind::adam}, {"adamw", OptimizerKind::adamw}};
  return names;
}

const Names<ScaleLearningRate>& names_of(ScaleLearningRate) {
  static const Names<ScaleLearningRate> names = {{"none", ScaleLearningRate::none},
                                                 {"linear", ScaleLearningRate::linear},
                                                 {"sqrt", ScaleLearningRate::sqrt}};
  return names;
}

const Names<Strategy>& names_of(Strategy) {
  static const Names<Strategy> names = {{"serial", Strategy::serial},
                                        {"sync", Strategy::sync},
                                        {"hogwild", Strategy::hogwild},
                                        {"local-sgd", Strategy::local_sgd}};
  return names;
}

const Names<SyncState>& names_of(SyncState) {
  static const Names<SyncState> names = {{"average", SyncState::average},
                                         {"private", SyncState::priv}};
  return names;
}

const Names<UpdateKind>& names_of(UpdateKind) {
  static const Names<UpdateKind> names = {{"auto", UpdateKind::automatic},
                                          {"sliced", UpdateKind::sliced},
                                          {"factors", UpdateKind::factors},
                                          {"replicas", UpdateKind::replicas}};
  return names;
}

const Names<AllReduceChoice>& names_of(AllReduceChoice) {
  static const Names<AllReduceChoice> names = {{"auto", AllReduceChoice::automatic},
                                               {"ring", AllReduceChoice::ring},
                                               {"direct", AllReduceChoice::direct},
                                               {"central", AllReduceChoice::central}};
  return names;
}

const Names<SparseInput>& names_of(SparseInput) {
  static const Names<SparseInput> names = {
      {"auto", SparseInput::automatic}, {"on", SparseInput::on}, {"off", SparseInput::off}};
  return names;
}

const Names<MpiTransport>& names_of(MpiTransport) {
  static const Names<MpiTransport> names = {{"auto", MpiTransport::automatic},
                                            {"shared", MpiTransport::shared},
                                            {"messages", MpiTransport::messages}};
  return names;
}

const Names<DataPlacement>& names_of(DataPlacement) {
  static const Names<DataPlacement> names = {{"auto", DataPlacement::automatic},
                                             {"device", DataPlacement::device},
                                             {"host", DataPlacement::host}};
  return names;
}

const Names<Gemm>& names_of(Gemm) {
  static const Names<Gemm> names = {
      {"auto", Gemm::automatic}, {"own", Gemm::own}, {"cublas", Gemm::cublas}};
  return names;
}

const Names<NcclRegister>& names_of(NcclRegister) {
  static const Names<NcclRegister> names = {
      {"auto", NcclRegister::automatic}, {"off", NcclRegister::off}, {"on", NcclRegister::on}};
  return names;
}

const Names<GradientType>& names_of(GradientType) {
  static const Names<GradientType> names = {{"fp32", GradientType::fp32},
                                            {"bf16", GradientType::bf16}};
  return names;
}

const Names<Toggle>& names_of(Toggle) {
  static const Names<Toggle> names = {{"on", Toggle::on}, {"off", Toggle::off}};
  return names;
}

void parse_value(const std::string& text, std::string& value) {
  value = text;
}

void parse_value(const std::string& text, int& value) {
  parse_integer(text, value);
}

void parse_value(const std::string& text, int64_t& value) {
  parse_integer(text, value);
}

void parse_value(const std::string& text, uint64_t& value) {
  parse_integer(text, value);
}

void parse_value(const std::string& text, double& value) {
  const auto parsed = number<double>(text);
  if (!parsed) throw BadValue{"a number"};
  value = *parsed;
}

void parse_value(const std::string& text, std::vector<int>& value) {
  parse_integers(text, value);
}

void parse_value(const std::string& text, std::vector<int64_t>& value) {
  parse_integers(text, value);
}

void parse_value(const std::string& text, std::vector<std::string>& value) {
  value = split_list(text);
}

void parse_value(const std::string& text, SyncEvery& value) {
  if (text == "epoch") {
    value = {SyncEvery::Kind::epoch, 1};
  } else if (text == "end") {
    value = {SyncEvery::Kind::end, 1};
  } else if (const auto steps = number<int64_t>(text)) {
    value = {SyncEvery::Kind::steps, *steps};
  } else {
    throw BadValue{"a number of global batches, 'epoch' or 'end'"};
  }
}

void parse_value(const std::string& text, CheckpointEvery& value) {
  std::string_view digits = text;
  const bool in_steps = digits.ends_with('s');
  if (in_steps) digits.remove_suffix(1);
  const auto count = number<int64_t>(digits);
  if (!count) throw BadValue{"a number of epochs (5) or of steps (200s)"};
  value = {*count, in_steps};
}

void parse_value(const std::string& text, StepRange& value) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view all = text;
  const auto begin = number<int64_t>(all.substr(0, colon));
  const auto end = number<int64_t>(all.substr(std::min(colon + 1, text.size())));
  if (!begin || !end || *begin < 0 || *end <= *begin) {
    throw BadValue{"a range of steps A:B, counted from 0, with A below B",
                   "for example 10:20: step 10 and those after it, to 19"};
  }
  value = {*begin, *end};
}

void parse_value(const std::string& text, ScheduleConfig& value) {
  if (text == "constant" || text == "cosine") {
    value.kind = text == "cosine" ? ScheduleKind::cosine : ScheduleKind::constant;
    return;
  }
  constexpr std::string_view kStep = "step:";
  const std::string_view rest = std::string_view(text).substr(std::min(kStep.size(), text.size()));
  const size_t colon = rest.find(':');
  const auto epochs = number<int64_t>(rest.substr(0, colon));
  std::optional<double> factor = ScheduleConfig{}.step_factor;
  if (colon != std::string_view::npos) factor = number<double>(rest.substr(colon + 1));
  if (!text.starts_with(kStep) || !epochs || !factor) {
    throw BadValue{"constant, cosine or step:EPOCHS[:FACTOR]", "for example step:30:0.1"};
  }
  value.kind = ScheduleKind::step;
  value.step_epochs = *epochs;
  value.step_factor = *factor;
}

Json to_json(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return Json(value);
}

Json to_json(const SyncEvery& value) {
  if (value.kind == SyncEvery::Kind::steps) return value.steps;
  return to_string(value);
}

Json to_json(const CheckpointEvery& value) {
  if (!value.in_steps) return value.count;
  return fmt::format("{}s", value.count);
}

Json to_json(const StepRange& value) {
  return fmt::format("{}:{}", value.begin, value.end);
}

Json to_json(const ScheduleConfig& value) {
  switch (value.kind) {
    case ScheduleKind::constant: return "constant";
    case ScheduleKind::cosine: return "cosine";
    case ScheduleKind::step: break;
  }
  return fmt::format("step:{}:{}", value.step_epochs, value.step_factor);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  size_t begin = 0;
  while (true) {
    const size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

}  // namespace lockstep::cli

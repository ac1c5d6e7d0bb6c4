#include "train/checkpoint_metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "lockstep/error.h"
#include "model/check_model.h"
#include "train/bounded_json.h"
#include "train/json_fields.h"
#include "train/model_json.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

constexpr std::array kNormalizations = {
    std::pair{"none", Normalize::none}, std::pair{"unit", Normalize::unit},
    std::pair{"standard", Normalize::standard}, std::pair{"given", Normalize::given}};

bool is_utf8(const std::string& text) {
  try {
    (void)Json(text).dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

Json class_name_to_json(const std::string& name) {
  if (is_utf8(name)) return name;
  Json bytes = Json::array();
  for (const char c : name) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

std::string class_name_from_json(const JsonField& field) {
  if (field.json().is_string()) return field.text();
  std::string name;
  for (size_t i = 0; i < field.size(); ++i) {
    name += static_cast<char>(field.element(i).integer(0, 255));
  }
  return name;
}

Json normalization_to_json(const Normalization& normalization) {
  return {{"kind", name_of(kNormalizations, normalization.kind)},
          {"scale", normalization.scale},
          {"offset", normalization.offset}};
}

Normalization normalization_from_json(const JsonField& field) {
  return {value_of(kNormalizations, field.at("kind")), field.at("scale").floats(),
          field.at("offset").floats()};
}

Json position_to_json(const TrainingPosition& position) {
  return {{"epoch", position.epoch},
          {"step", position.step},
          {"global_step", position.global_step},
          {"global_batch", position.global_batch},
          {"train_samples", position.train_samples},
          {"epoch_loss", position.epoch_loss},
          {"epoch_correct", position.epoch_correct},
          {"epoch_count", position.epoch_count}};
}

TrainingPosition position_from_json(const JsonField& field) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return {.epoch = field.at("epoch").integer(0, kMost),
          .step = field.at("step").integer(0, kMost),
          .global_step = field.at("global_step").integer(0, kMost),
          .global_batch = field.at("global_batch").integer(0, kMost),
          .train_samples = field.at("train_samples").integer(0, kMost),
          .epoch_loss = field.at("epoch_loss").number(),
          .epoch_correct = field.at("epoch_correct").integer(0, kMost),
          .epoch_count = field.at("epoch_count").integer(0, kMost)};
}

void parse_training_state(const JsonField& root, ParsedMetadata& parsed) {
  Checkpoint& checkpoint = parsed.checkpoint;
  if (root.has("position")) checkpoint.position = position_from_json(root.at("position"));
  if (root.has("config")) {
    if (!root.at("config").json().is_object()) root.at("config").fail("is not an object");
    checkpoint.config_json = root.at("config").json().dump();
  }
  if (root.has("history")) {
    if (!root.at("history").json().is_array()) root.at("history").fail("is not an array");
    checkpoint.history_json = root.at("history").json().dump();
  }
  if (root.has("optimizer")) {
    const JsonField optimizer = root.at("optimizer");
    checkpoint.optimizer_kind = optimizer.at("kind").text();
    checkpoint.state_count = static_cast<int>(optimizer.at("state_count").integer(0, 2));
  }
  if (root.has("best")) parsed.has_best = root.at("best").boolean();
}

std::string problem_with_optimizer(const std::string& kind, int state_count) {
  if (kind.empty()) return state_count == 0 ? "" : "optimizer state without an optimizer";
  const bool sgd = kind == "sgd";
  if (!sgd && kind != "adam" && kind != "adamw") return "optimizer kind is not known";
  if (sgd ? state_count == 0 || state_count == 1 : state_count == 2) return {};
  return "optimizer " + kind + " cannot have a state_count of " + std::to_string(state_count);
}

std::string problem_with_normalization(const Normalization& normalization, int64_t inputs) {
  const size_t size = normalization.scale.size();
  if (normalization.offset.size() != size || (size > 1 && size != static_cast<size_t>(inputs))) {
    return "normalization has " + std::to_string(size) + " scales and " +
           std::to_string(normalization.offset.size()) + " offsets for " + std::to_string(inputs) +
           " inputs";
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  const bool ok = std::all_of(normalization.scale.begin(), normalization.scale.end(), finite) &&
                  std::all_of(normalization.offset.begin(), normalization.offset.end(), finite);
  return ok ? "" : "normalization holds a number that is not finite";
}

bool fits(const ImageShape& image, int64_t inputs) {
  // Each product stays below 2^62: the first factor is at most `inputs` <= 2^31.
  if (image.channels < 1 || image.height < 1 || image.width < 1) return false;
  if (image.channels > inputs || image.height > inputs || image.width > inputs) return false;
  const int64_t plane = image.height * image.width;
  return plane <= inputs && plane * image.channels == inputs;
}

}  // namespace

std::string problem_with(const Checkpoint& checkpoint) {
  const Model& model = checkpoint.model;
  if (std::string problem = problem_with(model); !problem.empty()) return "model: " + problem;
  if (std::string problem = problem_with_normalization(checkpoint.normalization, model.inputs);
      !problem.empty()) {
    return problem;
  }
  const size_t names = checkpoint.class_names.size();
  if (names != 0 && names != static_cast<size_t>(model.classes)) {
    return std::to_string(names) + " class_names for " + std::to_string(model.classes) + " classes";
  }
  if (checkpoint.image && !fits(*checkpoint.image, model.inputs)) {
    return "image: channels x height x width is not " + std::to_string(model.inputs);
  }
  if (checkpoint.position && !std::isfinite(checkpoint.position->epoch_loss)) {
    return "position: epoch_loss is not finite";
  }
  return problem_with_optimizer(checkpoint.optimizer_kind, checkpoint.state_count);
}

std::string write_metadata(const Checkpoint& checkpoint) {
  Json root = {{"format", kFormat},
               {"model", model_to_json(checkpoint.model)},
               {"torch", torch_names(checkpoint.model)},
               {"normalization", normalization_to_json(checkpoint.normalization)},
               {"class_names", Json::array()},
               {"seed", checkpoint.seed}};
  for (const std::string& name : checkpoint.class_names) {
    root["class_names"].push_back(class_name_to_json(name));
  }
  if (checkpoint.image) root["image"] = image_to_json(*checkpoint.image);
  if (checkpoint.position) root["position"] = position_to_json(*checkpoint.position);
  const auto embed = [&](const char* key, const std::string& text) {
    if (text.empty()) return;
    root[key] = parse_bounded_json(text, std::string("checkpoint: ") + key, ErrorKind::runtime);
  };
  embed("config", checkpoint.config_json);
  embed("history", checkpoint.history_json);
  if (!checkpoint.optimizer_kind.empty()) {
    root["optimizer"] = {{"kind", checkpoint.optimizer_kind},
                         {"state_count", checkpoint.state_count}};
  }
  if (!checkpoint.best_values.empty()) root["best"] = true;
  return root.dump();
}

ParsedMetadata parse_metadata(const std::string& text, const std::string& place) {
  const Json json = parse_bounded_json(text, place, ErrorKind::data);
  const JsonField root(json, place);
  if (root.at("format").integer(1, std::numeric_limits<int64_t>::max()) > kFormat) {
    root.at("format").fail("was written by a newer version of lockstep");
  }
  ParsedMetadata parsed;
  Checkpoint& checkpoint = parsed.checkpoint;
  checkpoint.model = model_from_json(root.at("model"));
  checkpoint.normalization = normalization_from_json(root.at("normalization"));
  const JsonField names = root.at("class_names");
  for (size_t i = 0; i < names.size(); ++i) {
    checkpoint.class_names.push_back(class_name_from_json(names.element(i)));
  }
  if (root.has("image")) checkpoint.image = image_from_json(root.at("image"));
  checkpoint.seed = root.at("seed").unsigned_integer();
  parse_training_state(root, parsed);
  if (const std::string problem = problem_with(checkpoint); !problem.empty()) {
    throw Error(ErrorKind::data, place + ": " + problem, kCheckpointRemedy);
  }
  return parsed;
}

}  // namespace lockstep

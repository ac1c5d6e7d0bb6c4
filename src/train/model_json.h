// Models, and other things that checkpoints name, as JSON.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "lockstep/model.h"
#include "train/json_fields.h"

namespace lockstep {

// `names` are pairs of a text and a value.
template <class Names, class Value>
const char* name_of(const Names& names, Value value) {
  return std::find_if(names.begin(), names.end(), [&](auto& pair) { return pair.second == value; })
      ->first;
}

// Error{data} names the field where its text is none of `names`.
template <class Names>
auto value_of(const Names& names, const JsonField& field) {
  const std::string text = field.text();
  for (const auto& [name, value] : names) {
    if (text == name) return value;
  }
  field.fail("is not a name that this version knows");
}

nlohmann::json image_to_json(const ImageShape& image);
ImageShape image_from_json(const JsonField& field);

nlohmann::json model_to_json(const Model& model);
// Every type and range is checked, and nothing of how the layers fit together (check_model.h).
Model model_from_json(const JsonField& field);

// The name of each tensor in a torch.nn.Sequential of the same layers, by its name here: PyTorch
// counts an activation as a module of its own.
nlohmann::json torch_names(const Model& model);

}  // namespace lockstep

// The JSON that a checkpoint keeps in `__metadata__` under the key "lockstep":
//
//   format         1
//   model          kind, inputs, classes, loss, image where layers see one, layers:
//                  {type: "linear", inputs, outputs, activation}, {type: "dropout", p},
//                  {type: "conv", input, channels, kernel: [height, width], stride, padding,
//                  activation}, {type: "maxpool" | "avgpool", input, kernel, stride} or
//                  {type: "flatten", input}; input and image are channels, height, width
//   torch          the name of each tensor in torch.nn.Sequential(Linear, ReLU, Dropout, ...,
//                  Linear), by its name in the file
//   normalization  kind, scale, offset: x * scale + offset
//   class_names    a string each; one that is not UTF-8 is an array of its bytes
//   image          channels, height, width; absent for tables
//   seed
// and in training states
//   position       epoch, step, global_step, global_batch, epoch_loss, epoch_correct,
//                  epoch_count
//   config, history, optimizer {kind, state_count}, best: whether best.* tensors are there
#pragma once

#include <string>

#include "lockstep/checkpoint.h"

namespace lockstep {

// Everything of `checkpoint` but its tensors. Throws Error{runtime} where a part of it is no JSON
// (config_json, history_json).
std::string write_metadata(const Checkpoint& checkpoint);

// The checkpoint with empty buffers, and whether a `best.` set of tensors belongs to it. Every type
// and range is checked; Error{data} starts with `place`.
struct ParsedMetadata {
  Checkpoint checkpoint;
  bool has_best = false;
};
ParsedMetadata parse_metadata(const std::string& text, const std::string& place);

// What keeps `checkpoint` (its tensors apart) from being used: counts that do not fit the model,
// numbers that are not finite. Empty where nothing does.
std::string problem_with(const Checkpoint& checkpoint);

}  // namespace lockstep

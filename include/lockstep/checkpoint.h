// Model and training state in safetensors files (https://github.com/huggingface/safetensors).
//
// Tensors `layers.N.weight` [out, in] and `layers.N.bias`, float32 little-endian; N is the index
// in Model::layers, dropout layers counted. `__metadata__` holds one string, key "lockstep": JSON
// with model, normalisation, classes, seed, and for training states the position and optimizer. Its
// member "torch" maps each tensor's name to the one in a torch.nn.Sequential(Linear, ReLU, Dropout,
// ..., Linear), which counts a ReLU as a module of its own:
//
//   with safe_open("model.safetensors", "pt") as f:
//       names = json.loads(f.metadata()["lockstep"])["torch"]
//       model.load_state_dict({names[name]: f.get_tensor(name) for name in names})
//
// Training states add `optimizer.momentum.layers.N...` or `optimizer.mean...` and
// `optimizer.variance...`, and `best.layers.N...` where the best epoch is kept. Numbers and names
// come back exactly, class names in any encoding.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lockstep/dataset.h"
#include "lockstep/model.h"
#include "lockstep/parameters.h"

namespace lockstep {

// Where training stood. `step` is the number of global batches already done in `epoch` (0-based).
struct TrainingPosition {
  int64_t epoch = 0;
  int64_t step = 0;
  int64_t global_step = 0;
  // What a resumed run must have too, to see the same stream of samples.
  int64_t global_batch = 0;
  int64_t train_samples = 0;
  double epoch_loss = 0.0;  // running sums of the unfinished epoch
  int64_t epoch_correct = 0;
  int64_t epoch_count = 0;
};

struct Checkpoint {
  Model model;
  Normalization normalization;
  std::vector<std::string> class_names;
  std::optional<ImageShape> image;
  uint64_t seed = 0;
  Buffer<float> values;  // ParameterLayout(model).size() floats

  // Present only in training states (files under `checkpoints/`).
  std::optional<TrainingPosition> position;
  std::string config_json;     // the resolved configuration of the run, one JSON object (comes back
                               // equal as JSON; members may be in another order)
  std::string history_json;    // finished epochs, JSON array as in the result document
  std::string optimizer_kind;  // "sgd", "adam", "adamw"
  int state_count = 0;
  Buffer<float> state;        // state_count * layout.size() floats
  Buffer<float> best_values;  // best epoch so far, empty where none is kept
};

// Writes atomically: temporary file in the same folder, fsync, rename, fsync of the folder.
// Throws Error{runtime} naming the path and errno; the old file is then untouched. (Where the
// process limits file sizes, ignore SIGXFSZ to get the error.)
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

// Throws Error{data} naming the file and what is wrong in it, a weight that is not finite included.
// Allocates nothing that the header claims before it is checked against the file's size.
Checkpoint load_checkpoint(const std::string& path);

}  // namespace lockstep

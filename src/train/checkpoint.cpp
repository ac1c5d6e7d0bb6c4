#include "lockstep/checkpoint.h"

#include <algorithm>
#include <cmath>

#include "lockstep/error.h"
#include "train/checkpoint_metadata.h"
#include "train/safetensors.h"

namespace lockstep {
namespace {

constexpr const char* kMetadataKey = "lockstep";
constexpr const char* kBestPrefix = "best.";

// One prefix for each array of optimizer state, in its order in memory.
std::vector<std::string> state_prefixes(int state_count) {
  if (state_count == 1) return {"optimizer.momentum."};
  if (state_count == 2) return {"optimizer.mean.", "optimizer.variance."};
  return {};
}

void check_size(const char* what, size_t actual, size_t expected) {
  if (actual == expected) return;
  throw Error(ErrorKind::runtime, std::string("checkpoint: ") + what + " holds " +
                                      std::to_string(actual) + " floats, the model needs " +
                                      std::to_string(expected));
}

void append_views(const ParameterLayout& layout, const std::string& prefix,
                  std::span<const float> values, std::vector<TensorView>& views) {
  for (const TensorSpec& tensor : layout.tensors()) {
    views.push_back(
        {prefix + tensor.name, tensor.shape, values.subspan(tensor.offset, tensor.size)});
  }
}

void expect_tensors(const SafetensorsFile& file, const ParameterLayout& layout,
                    const std::string& prefix) {
  for (const TensorSpec& tensor : layout.tensors()) file.expect(prefix + tensor.name, tensor.shape);
}

void read_tensors(const SafetensorsFile& file, const ParameterLayout& layout,
                  const std::string& prefix, std::span<float> values) {
  for (const TensorSpec& tensor : layout.tensors()) {
    file.read(prefix + tensor.name, values.subspan(tensor.offset, tensor.size));
  }
}

// A weight that is not finite turns every answer into NaN, or hides behind a ReLU: say so now.
void check_finite(const SafetensorsFile& file, const ParameterLayout& layout,
                  std::span<const float> values) {
  for (const TensorSpec& tensor : layout.tensors()) {
    const auto part = values.subspan(tensor.offset, tensor.size);
    const auto bad =
        std::find_if(part.begin(), part.end(), [](float value) { return !std::isfinite(value); });
    if (bad != part.end()) {
      file.fail("tensor '" + tensor.name + "', element " + std::to_string(bad - part.begin()) +
                " is not finite");
    }
  }
}

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  if (const std::string problem = problem_with(checkpoint); !problem.empty()) {
    throw Error(ErrorKind::runtime, "cannot write '" + path + "': " + problem);
  }
  const ParameterLayout layout(checkpoint.model);
  const std::vector<std::string> prefixes = state_prefixes(checkpoint.state_count);
  check_size("values", checkpoint.values.size(), layout.size());
  check_size("state", checkpoint.state.size(), prefixes.size() * layout.size());

  std::vector<TensorView> views;
  append_views(layout, "", checkpoint.values.span(), views);
  for (size_t i = 0; i < prefixes.size(); ++i) {
    append_views(layout, prefixes[i],
                 checkpoint.state.span().subspan(i * layout.size(), layout.size()), views);
  }
  if (!checkpoint.best_values.empty()) {
    check_size("best_values", checkpoint.best_values.size(), layout.size());
    append_views(layout, kBestPrefix, checkpoint.best_values.span(), views);
  }
  write_safetensors(path, {{kMetadataKey, write_metadata(checkpoint)}}, views);
}

Checkpoint load_checkpoint(const std::string& path) {
  const SafetensorsFile file(path);
  const auto metadata = file.metadata().find(kMetadataKey);
  if (metadata == file.metadata().end()) {
    file.fail("__metadata__ lacks 'lockstep', which says what model these tensors are");
  }
  ParsedMetadata parsed = parse_metadata(metadata->second, "'" + path + "': lockstep metadata");
  Checkpoint checkpoint = std::move(parsed.checkpoint);
  const ParameterLayout layout(checkpoint.model);
  const std::vector<std::string> prefixes = state_prefixes(checkpoint.state_count);

  // All tensors are known to be in the file before memory is taken for any.
  expect_tensors(file, layout, "");
  for (const std::string& prefix : prefixes) expect_tensors(file, layout, prefix);
  if (parsed.has_best) expect_tensors(file, layout, kBestPrefix);

  checkpoint.values = Buffer<float>(layout.size());
  read_tensors(file, layout, "", checkpoint.values.span());
  check_finite(file, layout, checkpoint.values.span());
  checkpoint.state = Buffer<float>(prefixes.size() * layout.size());
  for (size_t i = 0; i < prefixes.size(); ++i) {
    read_tensors(file, layout, prefixes[i],
                 checkpoint.state.span().subspan(i * layout.size(), layout.size()));
  }
  if (parsed.has_best) {
    checkpoint.best_values = Buffer<float>(layout.size());
    read_tensors(file, layout, kBestPrefix, checkpoint.best_values.span());
  }
  return checkpoint;
}

}  // namespace lockstep

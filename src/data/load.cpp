#include "data/load.h"

#include <fmt/format.h>

#include <chrono>

#include "data/digest.h"
#include "data/digest_cache.h"
#include "data/failure.h"
#include "data/memory.h"
#include "data/normalize.h"
#include "data/reader.h"
#include "data/split.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_config(const DataConfig& config) {
  if (!(config.test_fraction >= 0.0 && config.test_fraction < 1.0)) {
    throw Error(ErrorKind::usage,
                fmt::format("test-fraction = {}, expected 0 to 1", config.test_fraction),
                "give the part to set aside for testing: --test-fraction 0.2");
  }
  if (config.test_fraction > 0.0 && !config.test_data.empty()) {
    throw Error(ErrorKind::usage, "test-fraction and test-data are both given",
                "choose one: a part of the training data, or data of its own");
  }
  if (config.samples < 0) {
    throw Error(ErrorKind::usage, fmt::format("samples = {}, expected at least 1", config.samples),
                "leave it out to use all samples");
  }
}

// Chooses the test part: split off, from its own SPEC, or the data's own.
void choose_test_part(const DataConfig& config, uint64_t seed, const ReadContext& train_context,
                      RawData& data) {
  if (config.test_fraction > 0.0) {
    TwoParts parts = split_off_test(std::move(data.train), config.test_fraction, seed);
    data.train = std::move(parts.train);
    data.test = std::move(parts.test);
    data.label_note += fmt::format("; {} rows set aside for testing", data.test->features.rows);
  } else if (!config.test_data.empty()) {
    ReadContext context = train_context;
    context.digest = nullptr;
    context.schema = data.schema;
    context.purpose = Purposes::test;
    data.test = read_data(parse_spec(config.test_data), context).train;
    if (data.test->labels.empty() && !data.train.labels.empty()) {
      fail_at(data.test->path, "", "has no labels, the training data has",
              "name the label column or file of the test data");
    }
  }
}

Split make_split(RawPart& part, const std::vector<std::string>& class_names,
                 UnknownLabels unknown) {
  return {part.features, class_indices(std::move(part.labels), class_names, unknown)};
}

std::span<const std::byte> bytes_of_labels(const Split& split) {
  return std::as_bytes(std::span(split.labels));
}

void add_to_key(DigestKey& key, const std::string& path, const Split& split) {
  if (split.features.mapped) {
    key.add_mapped(path, split.features);
  } else {
    key.add_bytes(split.features.data, split.features.bytes());
  }
  key.add_bytes(split.labels.data(), split.labels.size() * sizeof(int32_t));
}

// Features as stored, then labels as little-endian int32 class indices, of training, then test.
std::string finish_digest(const Dataset& dataset, BackgroundDigest& digest) {
  const auto add = [&](const Split& split, bool features_too) {
    if (features_too) {
      digest.add({static_cast<const std::byte*>(split.features.data), split.features.bytes()},
                 split.features.keep_alive);
    }
    digest.add(bytes_of_labels(split), nullptr);
  };
  add(dataset.train, digest.added() == 0);
  if (dataset.test) add(*dataset.test, true);
  return digest.hex();
}

// `seed` and `config` tell which rows a mapped file's parts are.
std::string digest_of(const Dataset& dataset, const RawData& data, const DataConfig& config,
                      uint64_t seed, BackgroundDigest& digest) {
  const bool mapped =
      dataset.train.features.mapped || (dataset.test && dataset.test->features.mapped);
  if (!mapped) return finish_digest(dataset, digest);
  DigestKey key;
  key.add_text(fmt::format("{}|{}|{}", config.test_fraction, config.samples, seed));
  add_to_key(key, data.train.path, dataset.train);
  if (dataset.test) add_to_key(key, data.test->path, *dataset.test);
  if (const auto known = cached_digest(key)) return *known;
  std::string result = finish_digest(dataset, digest);
  remember_digest(key, result);
  return result;
}

}  // namespace

LoadLimits default_limits() {
  return {physical_memory() / 4};
}

Dataset load_dataset(const DataConfig& config, uint64_t seed, const LoadLimits& limits) {
  const Clock::time_point start = Clock::now();
  check_config(config);
  const auto normalize = parse_normalize(config.normalize);
  const DataSpec spec = parse_spec(config.data);

  BackgroundDigest digest;
  ReadContext context;
  context.seed = seed;
  context.map_above = limits.map_above;
  const bool whole = config.test_fraction == 0.0 && config.samples == 0;
  if (whole) context.digest = &digest;  // else the rows are not final yet
  RawData data = read_data(spec, context);

  Dataset dataset;
  dataset.name = config.data;
  dataset.class_names = data.class_names;
  if (dataset.class_names.empty() && !data.train.labels.empty()) {
    dataset.class_names = classes_of(data.train.labels);
  }
  dataset.classes = static_cast<int>(dataset.class_names.size());
  choose_test_part(config, seed, context, data);
  if (config.samples > 0) limit_rows(data.train, config.samples);

  dataset.train = make_split(data.train, dataset.class_names, UnknownLabels::error);
  if (data.test) dataset.test = make_split(*data.test, dataset.class_names, UnknownLabels::error);
  dataset.image = data.train.image;
  dataset.label_note = data.label_note;
  dataset.normalization = make_normalization(normalize, dataset.train, dataset.image, data.unit);
  dataset.sha256 = digest_of(dataset, data, config, seed, digest);
  dataset.load_seconds = seconds_since(start);
  return dataset;
}

Dataset load_for_model(const std::string& spec, const DataContract& contract, bool labels_expected,
                       const LoadLimits& limits) {
  const Clock::time_point start = Clock::now();
  ReadContext context;
  context.map_above = limits.map_above;
  context.schema.emplace().columns = contract.features;
  context.purpose = labels_expected ? Purposes::test : Purposes::predict;
  RawData data = read_data(parse_spec(spec), context);
  if (labels_expected && data.train.labels.empty()) {
    fail_at(data.train.path, "", "has no labels, expected some to compare with",
            "name the label column or file, or use `lockstep predict`");
  }

  Dataset dataset;
  dataset.name = spec;
  dataset.class_names = contract.class_names;
  dataset.classes = static_cast<int>(contract.class_names.size());
  dataset.train = make_split(data.train, dataset.class_names, context.unknown_labels());
  dataset.image = data.train.image;
  dataset.label_note = data.label_note;
  dataset.normalization = contract.normalization;
  BackgroundDigest digest;
  dataset.sha256 = digest_of(dataset, data, {}, 0, digest);
  dataset.load_seconds = seconds_since(start);
  return dataset;
}

Dataset load_dataset(const DataConfig& config, uint64_t seed) {
  return load_dataset(config, seed, default_limits());
}

Dataset load_for_model(const std::string& spec, const DataContract& contract,
                       bool labels_expected) {
  return load_for_model(spec, contract, labels_expected, default_limits());
}

}  // namespace lockstep

#include "cli/job.h"

#include <fmt/format.h>

#include <charconv>
#include <variant>

#include "cli/toml_file.h"
#include "data/memory.h"
#include "lockstep/backend.h"
#include "lockstep/data.h"
#include "lockstep/error.h"
#include "report/format.h"
#include "train/check_config.h"
#include "train/rounded_data.h"
#include "train/run.h"
#include "train/sparse_input.h"
#include "train/step_options.h"

namespace lockstep::cli {

namespace {

// More samples than any data set has: for checks that come before the data is read.
constexpr int64_t kAnySamples = int64_t{1} << 40;

constexpr char kBytes[] = "bytes";

bool is_utf8(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

Json encode_text(const Json& value) {
  if (!value.is_string()) return value;
  const auto& text = value.get_ref<const std::string&>();
  if (is_utf8(text)) return value;
  std::string digits;
  for (const char byte : text) digits += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return {{kBytes, digits}};
}

// The text of {"bytes": ...}, up to where it is none.
std::string decode_text(const Json& value) {
  const auto found = value.find(kBytes);
  if (found == value.end() || !found->is_string()) return json_text(value);
  const auto& digits = found->get_ref<const std::string&>();
  std::string text;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    unsigned byte = 0;
    const char* const end = digits.data() + i + 2;
    if (std::from_chars(digits.data() + i, end, byte, 16).ptr != end) break;
    text += static_cast<char>(byte);
  }
  return text;
}

std::string text_of(const Json& value) {
  if (value.is_object()) return decode_text(value);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return json_text(value);
  std::string text;
  for (const Json& entry : value) {
    if (!text.empty()) text += ',';
    text += text_of(entry);
  }
  return text;
}

}  // namespace

void load_settings(Session& session, const GivenValues& base) {
  Settings& settings = session.settings;
  const Invocation& invocation = session.invocation;
  apply_values(base, settings);
  if (!invocation.positional.empty() && (invocation.command->options & kTraining)) {
    apply_values(read_experiment(invocation.positional, settings), settings);
  }
  for (const GivenValues& values :
       {environment_values(invocation.command->options), invocation.flags}) {
    // --modes replaces the file's [[mode]] tables as it replaces its `modes`.
    if (holds(values, "modes")) settings.mode_tables.clear();
    apply_values(values, settings);
  }
  finish(settings);
  if (!(invocation.command->options & kTraining)) check_ranges(settings.config);
  session.console.set_quiet(settings.quiet);
}

std::string config_for_checkpoint(const Json& config) {
  Json encoded = config;
  for (Json& value : encoded) value = encode_text(value);
  return json_text(encoded);
}

GivenValues values_of_config(const std::string& config_json) {
  GivenValues values;
  const Json config = Json::parse(config_json, nullptr, false);
  if (!config.is_object()) return values;
  for (const Option& option : options()) {
    const auto found = config.find(json_name(option.key));
    if (!option.saved || found == config.end() || found->is_null()) continue;
    values.push_back({option.key, text_of(*found), "checkpoint: " + option.key});
  }
  return values;
}

Settings resolved_settings(const Session& session) {
  const Settings& settings = session.settings;
  const Resolved resolved = resolve(settings.config, kAnySamples, session.processes());
  Settings result = settings;
  Config& config = result.config;
  config.strategy = resolved.strategy;
  config.device = resolved.device.name;
  if (!config.per_worker_batch) config.batch_size = resolved.global_batch;
  return result;
}

Dataset load_job_data(Session& session) {
  if (session.settings.verbose) {
    session.console.note(fmt::format("loading {}", session.settings.config.data.data));
  }
  Dataset dataset = load_dataset(session.settings.config.data, session.settings.config.seed);
  session.document.data = json_of(dataset);
  const std::string test =
      dataset.test ? fmt::format(" and {} test", format_integer(dataset.test->size())) : "";
  session.console.note(fmt::format(
      "data: {}, {} training{} samples, {} features, {} classes, loaded in {}", dataset.name,
      format_integer(dataset.train.size()), test, format_integer(dataset.features()),
      dataset.classes, format_seconds(dataset.load_seconds)));
  if (!dataset.label_note.empty()) session.console.note(dataset.label_note);
  return dataset;
}

void describe_device(Session& session, const DeviceChoice& choice) {
  if (!choice.reason.empty()) {
    session.console.note(fmt::format("device: {} (--device auto)", choice.reason));
  }
  if (choice.emulated) {
    session.warn("the GPUs are emulated on the CPU: answers are real, times say nothing");
  }
}

std::string describe_model(const Model& model) {
  const auto shape = [](const ImageShape& image) {
    return fmt::format("{}x{}x{}", image.channels, image.height, image.width);
  };
  std::string text = fmt::format("{} {}", model.kind,
                                 model.image ? shape(*model.image) : std::to_string(model.inputs));
  for (const LayerSummary& layer : summarize(model)) {
    if (layer.parameters == 0) continue;
    text += layer.flat ? fmt::format("-{}", layer.output.channels)
                       : fmt::format("-{}", shape(layer.output));
  }
  return text;
}

MemoryEstimate estimate_memory(const Resolved& resolved, const Dataset& dataset,
                               const Model& model) {
  const Config& config = resolved.config;
  const ParameterLayout layout(model, choose_first_weight(resolved, dataset, model));
  const auto workers = static_cast<size_t>(resolved.config.workers);  // of this process
  const size_t copies = 1 + static_cast<size_t>(keeps_gradients(resolved, model)) +
                        static_cast<size_t>(config.optimizer.state_count());

  MemoryEstimate estimate;
  estimate.data = dataset.train.features.bytes() + dataset.train.labels.size() * sizeof(int32_t);
  if (dataset.test) estimate.data += dataset.test->features.bytes();
  if (reads_rounded_data(resolved, model)) estimate.rounded = rounded_bytes(dataset);
  estimate.parameters = workers * copies * layout.size() * sizeof(float);
  estimate.workspace =
      workers *
      make_backend(resolved.device, 0)->workspace_bytes(model, layout, step_options(resolved));
  return estimate;
}

void require_memory(const Resolved& resolved, const Dataset& dataset, const Model& model) {
  const MemoryEstimate estimate = estimate_memory(resolved, dataset, model);
  const auto needed = static_cast<double>(estimate.total() - estimate.data);
  const auto available = static_cast<double>(available_memory());
  if (needed <= available) return;
  throw Error(ErrorKind::runtime,
              fmt::format("{}: {} needs {} of memory, {} are available", resolved.name,
                          describe_model(model), format_bytes(needed), format_bytes(available)),
              "give smaller numbers in --hidden, a smaller batch or fewer workers");
}

}  // namespace lockstep::cli

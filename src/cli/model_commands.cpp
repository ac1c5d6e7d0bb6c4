// lockstep eval and lockstep predict: a checkpoint applied to data.
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "cli/job.h"
#include "cli/predictions.h"
#include "lockstep/checkpoint.h"
#include "lockstep/data.h"
#include "lockstep/error.h"
#include "lockstep/trainer.h"
#include "report/format.h"
#include "report/reports.h"
#include "study/classification.h"

namespace lockstep::cli {

namespace {

// A checkpoint file, or the model in a run's --out folder.
Checkpoint load_model(const Settings& settings) {
  if (settings.checkpoint.empty()) {
    throw Error(ErrorKind::usage, "--checkpoint is missing",
                "add --checkpoint FILE, or the --out folder of a run");
  }
  const std::filesystem::path path = settings.checkpoint;
  std::error_code ignored;
  return load_checkpoint(is_directory(path, ignored) ? (path / "model.safetensors").string()
                                                     : path.string());
}

void require_data(const Settings& settings) {
  if (settings.given.contains("data")) return;
  throw Error(ErrorKind::usage, "--data is missing", "add --data SPEC, for example csv:new.csv");
}

Dataset load_data_for(Session& session, const Checkpoint& checkpoint, bool labels_expected) {
  const DataContract contract{checkpoint.model.inputs, checkpoint.class_names,
                              checkpoint.normalization};
  Dataset dataset = load_for_model(session.settings.config.data.data, contract, labels_expected);
  session.document.data = json_of(dataset);
  session.console.note(fmt::format("model: {}, {} parameters", describe_model(checkpoint.model),
                                   format_integer(checkpoint.model.parameter_count())));
  session.console.note(fmt::format("data: {}, {} samples, {} features", dataset.name,
                                   format_integer(dataset.train.size()),
                                   format_integer(dataset.features())));
  if (!dataset.label_note.empty()) session.console.note(dataset.label_note);
  return dataset;
}

Predictions apply_model(Session& session, const Checkpoint& checkpoint, const Dataset& dataset) {
  const Config& config = session.settings.config;
  const DeviceChoice device = choose_device(config.device, 1);
  describe_device(session, device);
  return evaluate(checkpoint.model, checkpoint.normalization, dataset.train,
                  checkpoint.values.span(), {config.threads, device, true});
}

}  // namespace

int eval_command(Session& session) {
  load_settings(session);
  const Settings& settings = session.settings;
  require_data(settings);
  const Checkpoint checkpoint = load_model(settings);
  const Dataset dataset = load_data_for(session, checkpoint, true);
  const Predictions predictions = apply_model(session, checkpoint, dataset);

  const std::span<const float> logits = predictions.logits.span();
  const std::vector<int32_t>& labels = dataset.train.labels;
  EvaluationReport report;
  report.evaluation = predictions.evaluation;
  report.class_names = checkpoint.class_names;
  report.confusion =
      confusion_of(labels, predicted_classes(checkpoint.model, logits), checkpoint.model.classes);
  report.scores = scores_of(report.confusion);
  if (checkpoint.model.classes == 2) {
    report.auc = auc_of(scores_of_class_1(checkpoint.model, logits), labels);
  }
  session.document.more["evaluation"] = json_of(report);
  session.print(evaluation_report(report));
  return 0;
}

int predict_command(Session& session) {
  load_settings(session);
  const Settings& settings = session.settings;
  require_data(settings);
  const PredictionFormat format = prediction_format(settings.output);
  const Checkpoint checkpoint = load_model(settings);
  const Dataset dataset = load_data_for(session, checkpoint, false);
  const Predictions result = apply_model(session, checkpoint, dataset);

  const std::span<const float> logits = result.logits.span();
  const PredictionTable table{checkpoint.class_names, predicted_classes(checkpoint.model, logits),
                              probabilities(checkpoint.model, logits)};
  Json& json = session.document.more["predictions"];
  json = {{"samples", dataset.train.size()}, {"output", nullptr}};
  if (!settings.output.empty()) {
    write_file(settings.output,
               format == PredictionFormat::npy ? npy_text(table) : csv_text(table));
    json["output"] = settings.output;
    session.console.note(fmt::format("saved: {}", settings.output));
  } else if (settings.json) {
    json["rows"] = json_rows(table);
  } else {
    print_result(csv_text(table));
  }
  return 0;
}

}  // namespace lockstep::cli

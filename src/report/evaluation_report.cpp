#include <fmt/format.h>

#include <numeric>

#include "report/format.h"
#include "report/reports.h"
#include "report/table.h"

namespace lockstep {

namespace {

constexpr int kMostClassesInMatrix = 20;  // a wider matrix fits on no terminal

std::string class_table(const EvaluationReport& report) {
  Table table;
  table.add_column("class", Align::left);
  for (const char* heading : {"precision", "recall", "samples"}) table.add_column(heading);
  for (int c = 0; c < report.confusion.classes; ++c) {
    const ClassScores& scores = report.scores[c];
    table.add_row({report.class_names[c], format_fraction(scores.precision),
                   format_fraction(scores.recall), format_integer(scores.support)});
  }
  return table.text();
}

std::string confusion_matrix(const EvaluationReport& report) {
  const int classes = report.confusion.classes;
  if (classes > kMostClassesInMatrix) {
    return fmt::format("The confusion matrix of {} classes is in the JSON document (--json).\n",
                       classes);
  }
  Table table;
  table.add_column("true \\ predicted", Align::left);
  for (int c = 0; c < classes; ++c) table.add_column(report.class_names[c]);
  for (int truth = 0; truth < classes; ++truth) {
    std::vector<std::string> row = {report.class_names[truth]};
    for (int c = 0; c < classes; ++c) row.push_back(std::to_string(report.confusion.at(truth, c)));
    table.add_row(std::move(row));
  }
  return table.text();
}

}  // namespace

std::string evaluation_report(const EvaluationReport& report) {
  const auto& counts = report.confusion.counts;
  const int64_t samples = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  std::string text =
      fmt::format("accuracy {:.4f}, loss {:.4f} over {} samples\n", report.evaluation.accuracy,
                  report.evaluation.loss, format_integer(samples));
  if (report.auc) text += fmt::format("AUC {:.4f}\n", *report.auc);
  return text + "\n" + class_table(report) + "\n" + confusion_matrix(report);
}

Json json_of(const EvaluationReport& report) {
  Json classes = Json::array();
  Json matrix = Json::array();
  for (int c = 0; c < report.confusion.classes; ++c) {
    const ClassScores& scores = report.scores[c];
    classes.push_back({{"name", report.class_names[c]},
                       {"precision", json_number(scores.precision)},
                       {"recall", json_number(scores.recall)},
                       {"samples", scores.support}});
    Json row = Json::array();
    for (int p = 0; p < report.confusion.classes; ++p) row.push_back(report.confusion.at(c, p));
    matrix.push_back(std::move(row));
  }
  return {{"loss", json_number(report.evaluation.loss)},
          {"accuracy", json_number(report.evaluation.accuracy)},
          {"auc", json_number(report.auc)},
          {"classes", std::move(classes)},
          {"confusion", std::move(matrix)}};
}

}  // namespace lockstep

// What the commands print on stdout for people: plain text, at most 80 columns where names are
// short, ending in a newline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lockstep/result.h"
#include "report/document.h"
#include "study/classification.h"

namespace lockstep {

// One training: accuracy and loss, time and where it went.
std::string train_report(const RunResult& run);

// Several runs of one job: a table of results, a table of times, and how each compares with its
// baseline. `published` are a study's own figures (null: none), shown beside ours; `platforms` is
// platform_report()'s text.
std::string compare_report(const std::vector<RunResult>& runs, const Json& published,
                           const std::string& platforms = {});

// Where one of the runs used a GPU: each against the honest baselines of CPU and GPU, what it took
// beside training, and what CPU and GPU are. Else empty.
std::string platform_report(const std::vector<RunResult>& runs, const Machine& machine,
                            const GpuSurvey& survey);

// A model on labelled data.
struct EvaluationReport {
  Evaluation evaluation;
  Confusion confusion;
  std::vector<ClassScores> scores;
  std::optional<double> auc;  // two classes only
  std::vector<std::string> class_names;
};
std::string evaluation_report(const EvaluationReport& report);
Json json_of(const EvaluationReport& report);

// "compute 4.50 s (88 %), data 0.20 s (4 %)": the phases that add up to `total` seconds.
std::string phase_shares(const PhaseSeconds& time, double total);

}  // namespace lockstep

// What train and compare do alike: settings from all sources, data, the resolved configuration.
#pragma once

#include <optional>
#include <string>

#include "cli/session.h"
#include "lockstep/checkpoint.h"
#include "lockstep/dataset.h"
#include "lockstep/device.h"
#include "lockstep/model.h"

namespace lockstep::cli {

// Fills session.settings from the experiment or TOML file, the LOCKSTEP_* variables and the flags.
// `base`, where not empty, is the weakest source: the configuration that a resumed run had.
void load_settings(Session& session, const GivenValues& base = {});

// The configuration as a checkpoint keeps it. JSON is UTF-8, which a path need not be: such a text
// becomes {"bytes": its bytes in hexadecimal}.
std::string config_for_checkpoint(const Json& config);

// The configuration in a checkpoint (Checkpoint::config_json) as a source of settings. Values that
// this version does not know are left out.
GivenValues values_of_config(const std::string& config_json);

// The settings with every choice made that does not depend on the data: strategy, device, batch.
// Throws Error{usage} where they cannot work.
Settings resolved_settings(const Session& session);

// Loads the data, says what it is, and puts it into the document.
Dataset load_job_data(Session& session);

// Says what `auto` took and why, and that an emulated GPU is one.
void describe_device(Session& session, const DeviceChoice& choice);

// "mlp 784-256-128-10".
std::string describe_model(const Model& model);

// "234 MB": data, and for each worker weights, gradients, optimizer state and workspace.
struct MemoryEstimate {
  size_t data = 0;        // as loaded
  size_t rounded = 0;     // the copy of the features that bf16 logistic regression trains on
  size_t parameters = 0;  // weights, gradients and state of all workers
  size_t workspace = 0;   // of all workers
  size_t total() const { return data + rounded + parameters + workspace; }
};
MemoryEstimate estimate_memory(const Resolved& resolved, const Dataset& dataset,
                               const Model& model);

// Throws Error{runtime} that names both sizes where a training would not fit beside the data that
// is already in memory.
void require_memory(const Resolved& resolved, const Dataset& dataset, const Model& model);

}  // namespace lockstep::cli

// Where settings come from: flag beats LOCKSTEP_* variable beats file beats default.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/settings.h"

namespace lockstep::cli {

// One value as a source gave it. `origin` is how to name it to the user: "--epochs",
// "LOCKSTEP_EPOCHS", "job.toml, line 3: epochs".
struct GivenValue {
  std::string key;
  std::string text;
  std::string origin;
};
using GivenValues = std::vector<GivenValue>;
bool holds(const GivenValues& values, const std::string& key);

// Sets `values` over what weaker sources left in `settings`; a value also replaces what its option
// excludes, where that came from a weaker source. Throws Error{usage} naming the origin.
void apply_values(const GivenValues& values, Settings& settings);

// The LOCKSTEP_* variables of the options that one of `commands` takes. A variable that resembles
// an option without being one throws Error{usage} naming it; others are not this program's.
// LOCKSTEP_DATA is no option: it is the folder of named data sets.
GivenValues environment_values(Commands commands);

// What depends on several options, after the last source: Adam's own default learning rate, and the
// refusal of options that the model does not have.
void finish(Settings& settings);

}  // namespace lockstep::cli

// A run as another process of this program reported it.
#pragma once

#include "lockstep/result.h"
#include "report/document.h"

namespace lockstep {

// The run that json_of(run) gave, without what `compare` fills in. Throws Json::exception where a
// field is missing or of another type.
RunResult run_from_json(const Json& json);

}  // namespace lockstep

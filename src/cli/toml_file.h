// Experiments and configurations in TOML: reading them, and writing config.toml.
//
// Keys are the option names. Beside them: title, description, [published] (a study's figures, kept
// as data) and [[mode]] tables, each `mode = "sync:2"` with options of its own.
#pragma once

#include <string>
#include <string_view>

#include "cli/options.h"
#include "cli/settings.h"
#include "cli/sources.h"

namespace lockstep::cli {

// Reads `text`: its options are returned, the rest is put into `settings`. `name` names the file in
// messages. Throws Error{usage} with the line; an unknown key names the nearest known one.
GivenValues read_toml(std::string_view text, const std::string& name, Settings& settings);

// The same for an embedded experiment's name or a file's path, which becomes settings.source.
GivenValues read_experiment(const std::string& name_or_path, Settings& settings);

// `settings` as a TOML text that gives them again, for the saved options of `commands`.
std::string write_toml(const Settings& settings, Commands commands, const std::string& comment);

}  // namespace lockstep::cli

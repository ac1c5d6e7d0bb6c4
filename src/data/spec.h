// The grammar of SPEC, what `--data` and `--test-data` take (README, "Data").
#pragma once

#include <map>
#include <string>
#include <vector>

namespace lockstep {

enum class DataFormat { synthetic, digits, mnist, cifar10, idx, libsvm, npy, csv };

struct DataSpec {
  std::string text;  // as given
  DataFormat format = DataFormat::digits;
  std::vector<std::string> paths;              // files, or the folder of a named set; may be empty
  std::map<std::string, std::string> options;  // known names only
};

// Throws Error{usage} that names what is wrong and the form expected.
DataSpec parse_spec(const std::string& text);

// The whole number of option `name`; Error{usage} unless it lies in [low, high].
int64_t integer_option(const DataSpec& spec, const std::string& name, int64_t fallback, int64_t low,
                       int64_t high);

}  // namespace lockstep

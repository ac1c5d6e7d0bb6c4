#include "cli/predictions.h"

#include <fmt/format.h>

#include <bit>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "lockstep/error.h"

namespace lockstep::cli {

namespace {

static_assert(std::endian::native == std::endian::little, "NPY's '<f4' is written as it lies");

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

}  // namespace

PredictionFormat prediction_format(const std::string& path) {
  const std::filesystem::path file(path);
  if (file.extension() == ".npy") return PredictionFormat::npy;
  std::error_code ignored;
  const bool is_device = std::filesystem::exists(file, ignored) && !is_regular_file(file, ignored);
  if (path.empty() || file.extension() == ".csv" || is_device) return PredictionFormat::csv;
  throw Error(ErrorKind::usage, fmt::format("--output {}: neither .csv nor .npy", path),
              "name a file that ends in .csv or .npy");
}

std::string csv_text(const PredictionTable& table) {
  std::string text = "prediction";
  for (const std::string& name : table.class_names) text += fmt::format(",{}", quoted("p_" + name));
  text += "\n";
  const size_t classes = table.class_names.size();
  for (size_t i = 0; i < table.predicted.size(); ++i) {
    text += quoted(table.class_names[table.predicted[i]]);
    for (size_t c = 0; c < classes; ++c) {
      fmt::format_to(std::back_inserter(text), ",{}", table.probabilities[i * classes + c]);
    }
    text += "\n";
  }
  return text;
}

std::string npy_text(const PredictionTable& table) {
  constexpr size_t kPreamble = 10;  // magic, version, header length
  constexpr size_t kAlignment = 64;
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
                  table.predicted.size(), table.class_names.size());
  const size_t unpadded = kPreamble + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header += '\n';

  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(header.size() & 0xFF);
  text += static_cast<char>(header.size() >> 8);
  text += header;
  text.append(reinterpret_cast<const char*>(table.probabilities.data()),
              table.probabilities.size() * sizeof(float));
  return text;
}

Json json_rows(const PredictionTable& table) {
  const size_t classes = table.class_names.size();
  Json rows = Json::array();
  for (size_t i = 0; i < table.predicted.size(); ++i) {
    const auto first = table.probabilities.begin() + static_cast<std::ptrdiff_t>(i * classes);
    rows.push_back({{"prediction", table.class_names[table.predicted[i]]},
                    {"probabilities",
                     std::vector<float>(first, first + static_cast<std::ptrdiff_t>(classes))}});
  }
  return rows;
}

}  // namespace lockstep::cli

#include "files.h"

#include <zlib.h>

#include <cstdlib>
#include <fstream>

namespace lockstep {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "lockstep-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot create " + pattern);
  folder_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, std::string_view content) const {
  const auto file = folder_ / name;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
  return file.string();
}

ScopedVariable::ScopedVariable(std::string name, const char* value) : name_(std::move(name)) {
  if (const char* current = std::getenv(name_.c_str())) {
    was_set_ = true;
    before_ = current;
  }
  set(value);
}

ScopedVariable::~ScopedVariable() {
  set(was_set_ ? before_.c_str() : nullptr);
}

void ScopedVariable::set(const char* value) const {
  if (value) {
    setenv(name_.c_str(), value, 1);
  } else {
    unsetenv(name_.c_str());
  }
}

std::string gzipped(std::string_view content) {
  z_stream zlib{};
  deflateInit2(&zlib, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string result(deflateBound(&zlib, content.size()) + 32, '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  zlib.avail_in = static_cast<uInt>(content.size());
  zlib.next_out = reinterpret_cast<Bytef*>(result.data());
  zlib.avail_out = static_cast<uInt>(result.size());
  deflate(&zlib, Z_FINISH);
  result.resize(result.size() - zlib.avail_out);
  deflateEnd(&zlib);
  return result;
}

std::string idx(uint8_t type, const std::vector<uint32_t>& sizes, std::string_view payload) {
  std::string file = {'\0', '\0', static_cast<char>(type), static_cast<char>(sizes.size())};
  for (uint32_t size : sizes) {
    for (int shift : {24, 16, 8, 0}) file += static_cast<char>(size >> shift);
  }
  return file.append(payload);
}

std::string npy(const std::string& descr, bool fortran_order, const std::string& shape,
                std::string_view payload, int version) {
  std::string header = "{'descr': '" + descr +
                       "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  const size_t prefix = version == 1 ? 10 : 12;
  while ((prefix + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (size_t byte = 0; byte < prefix - 8; ++byte) {
    file += static_cast<char>(header.size() >> (8 * byte));
  }
  return (file + header).append(payload);
}

std::string cifar_records(int n, int first) {
  std::string file;
  for (int i = first; i < first + n; ++i) {
    file += static_cast<char>(i % 10);
    for (int j = 0; j < 3072; ++j) file += static_cast<char>((i + j) % 251);
  }
  return file;
}

Dataset load(const DataConfig& config, uint64_t seed) {
  return load_dataset(config, seed, kReadAll);
}

Dataset load(const std::string& spec) {
  DataConfig config;
  config.data = spec;
  return load(config);
}

std::string load_error(const std::string& spec) {
  const Error error = error_of([&] { load(spec); });
  EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
  return error.what();
}

std::vector<float> values_of(const Split& split) {
  std::vector<float> values;
  for (int64_t row = 0; row < split.size(); ++row) {
    for (int64_t j = 0; j < split.features.columns; ++j) {
      values.push_back(split.features.type == FeatureType::uint8
                           ? static_cast<float>(split.features.byte_row(row)[j])
                           : split.features.float_row(row)[j]);
    }
  }
  return values;
}

std::string real_data_folder(const std::string& name) {
  const std::filesystem::path source = LOCKSTEP_SOURCE_DIR;
  const char* chosen = std::getenv("LOCKSTEP_DATA");
  std::vector<std::filesystem::path> roots = {source / "data", source / ".." / "shared" / "data"};
  if (chosen && *chosen) roots.insert(roots.begin(), chosen);
  for (const auto& root : roots) {
    std::error_code ignored;
    if (std::filesystem::is_directory(root / name, ignored)) return (root / name).string();
  }
  return {};
}

}  // namespace lockstep

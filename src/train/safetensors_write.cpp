#include <bit>
#include <nlohmann/json.hpp>

#include "lockstep/error.h"
#include "train/atomic_file.h"
#include "train/safetensors.h"

namespace lockstep {

static_assert(std::endian::native == std::endian::little,
              "tensors and lengths are written as they lie in memory");

void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<TensorView>& tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const uint64_t end = offset + tensor.data.size_bytes();
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::runtime, "cannot write '" + path + "': " + error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the tensors start at a multiple of 8 bytes

  AtomicFile file(path);
  const uint64_t length = text.size();
  file.write(&length, sizeof length);
  file.write(text.data(), text.size());
  for (const TensorView& tensor : tensors) {
    file.write(tensor.data.data(), tensor.data.size_bytes());
  }
  file.commit();
}

}  // namespace lockstep

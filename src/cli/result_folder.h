// The folder of --out: result.json, config.toml, model.safetensors, checkpoints/.
#pragma once

#include <string>

#include "lockstep/checkpoint.h"
#include "report/document.h"

namespace lockstep::cli {

class ResultFolder {
 public:
  // Creates the folder and writes config.toml. Throws Error{usage} where it holds the result of
  // another configuration and `overwrite` is not set, Error{runtime} where it cannot be written.
  // Unless the run `continues` this folder's, older training states are removed: they are not
  // this run's, and --resume would take the newest.
  struct Terms {
    bool overwrite = false;
    bool continues = false;
  };
  ResultFolder(std::string path, const std::string& config_toml, const Terms& terms);

  const std::string& path() const { return path_; }

  // The model alone, without the training state.
  void write_model(Checkpoint checkpoint) const;
  void write_result(const Document& document) const;

 private:
  std::string path_;
};

// Whether two paths name the same existing folder.
bool same_folder(const std::string& a, const std::string& b);

// Throws Error{runtime}, which begins with `option`, where write_file() could not write there.
// Nothing is left behind.
void require_writable(const std::string& option, const std::string& path);

// Writes a file atomically. Devices and pipes are written to as they are.
void write_file(const std::string& path, const std::string& content);

}  // namespace lockstep::cli

// Leaving out what stands at one line of a kernel: see emulator/control.h.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

class Mutation {
 public:
  // From now on sites are noted, and the one that `site` names is left out; empty: none is.
  void leave_out(const std::string& site);
  void stop();
  std::vector<std::string> seen() const;

  // Whether `what`, which a device thread comes to at `site`, is left out.
  bool left_out(const char* what, Site site) { return watching_ && note(what, site); }

 private:
  struct Noted {
    const char* what;
    Site site;
    std::string name;
  };

  bool note(const char* what, Site site);

  std::atomic<bool> watching_ = false;
  mutable std::mutex mutex_;
  std::string left_out_;
  std::vector<Noted> noted_;
};

Mutation& mutation();

}  // namespace lockstep::emulator

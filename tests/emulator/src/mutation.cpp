#include "mutation.h"

#include <cstring>

#include "report.h"

namespace lockstep::emulator {

Mutation& mutation() {
  static auto* instance = new Mutation;
  return *instance;
}

void Mutation::leave_out(const std::string& site) {
  const std::lock_guard lock(mutex_);
  left_out_ = site;
  noted_.clear();
  watching_ = true;
}

void Mutation::stop() {
  watching_ = false;
}

std::vector<std::string> Mutation::seen() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const Noted& noted : noted_) names.push_back(noted.name);
  return names;
}

bool Mutation::note(const char* what, Site site) {
  const std::lock_guard lock(mutex_);
  for (const Noted& noted : noted_) {
    if (noted.site.line == site.line && std::strcmp(noted.site.file, site.file) == 0 &&
        std::strcmp(noted.what, what) == 0) {
      return noted.name == left_out_;
    }
  }
  noted_.push_back({what, site, what + describe(site)});
  return noted_.back().name == left_out_;
}

}  // namespace lockstep::emulator

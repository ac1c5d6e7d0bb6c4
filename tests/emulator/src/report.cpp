#include "report.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "grid.h"
#include "group.h"

namespace lockstep::emulator {

std::string describe(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}

std::string describe(Site site) {
  if (site.line == 0) return "";
  return std::string(" at ") + site.file + ":" + std::to_string(site.line);
}

std::string describe(const Thread& thread) {
  return "kernel " + thread.group().grid().name() + ", block " + describe(thread.block->index) +
         ", thread " + describe(thread.index);
}

namespace {

std::string describe(const Wait& wait) {
  std::string text = wait.what;
  if (wait.mask != 0) {
    char mask[32];
    std::snprintf(mask, sizeof mask, " (mask 0x%08x)", wait.mask);
    text += mask;
  }
  return text + emulator::describe(wait.site);
}

}  // namespace

std::string describe_waiting(const Block& block) {
  std::map<std::string, std::vector<const Thread*>> places;
  std::size_t left = 0;
  for (const Thread& thread : block.threads) {
    if (thread.state == Thread::State::finished) {
      ++left;
    } else {
      places[describe(thread.wait)].push_back(&thread);
    }
  }
  std::string text;
  for (const auto& [place, threads] : places) {
    text += "\n  block " + describe(block.index) + ": " + std::to_string(threads.size()) +
            " of its threads, the first of them " + describe(threads.front()->index) +
            ", wait at " + place;
  }
  if (left > 0) {
    text += "\n  block " + describe(block.index) + ": " + std::to_string(left) +
            " of its threads have left the kernel";
  }
  return text;
}

const char* symbol_name(const void* function) {
  Dl_info info{};
  const bool known = dladdr(function, &info) != 0 && info.dli_saddr == function;
  return known ? info.dli_sname : nullptr;
}

std::string function_name(const void* function) {
  const char* symbol = symbol_name(function);
  if (!symbol) {
    char address[32];
    std::snprintf(address, sizeof address, "%p", function);
    return address;
  }
  int status = 0;
  char* demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = demangled ? demangled : symbol;
  std::free(demangled);
  return name;
}

}  // namespace lockstep::emulator

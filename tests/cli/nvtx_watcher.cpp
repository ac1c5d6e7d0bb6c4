// A profiler as NVTX sees one: a library that the program's first range loads, which writes every
// range to the file named by LOCKSTEP_WATCHER_FILE, "+ NAME [NUMBER]" and "-", a line each.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace {

// Threads push and pop: each line is whole.
struct Log {
  std::mutex mutex;
  std::FILE* file = nullptr;
};

Log& log() {
  static Log log;
  return log;
}

int NVTX_API push(nvtxDomainHandle_t, const nvtxEventAttributes_t* attributes) {
  const std::lock_guard lock(log().mutex);
  std::fprintf(log().file, "+ %s", attributes->message.ascii);
  if (attributes->payloadType == NVTX_PAYLOAD_TYPE_INT64) {
    std::fprintf(log().file, " %lld", static_cast<long long>(attributes->payload.llValue));
  }
  std::fprintf(log().file, "\n");
  return 0;
}

int NVTX_API pop(nvtxDomainHandle_t) {
  const std::lock_guard lock(log().mutex);
  std::fprintf(log().file, "-\n");
  std::fflush(log().file);
  return 0;
}

}  // namespace

extern "C" NVTX_DYNAMIC_EXPORT int NVTX_API
InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const char* path = std::getenv("LOCKSTEP_WATCHER_FILE");
  log().file = path ? std::fopen(path, "w") : nullptr;
  if (!log().file) return 0;
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  if (!callbacks) return 0;
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size)) return 0;
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(&push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(&pop);
  return 1;
}

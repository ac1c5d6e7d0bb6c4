#include <nvtx3/nvToolsExt.h>

#include "backend/profiler_range.h"

namespace lockstep {

namespace {

// Lockstep's own, so that its ranges can be told from those of libraries. Null where nobody
// watches.
nvtxDomainHandle_t domain() {
  static const nvtxDomainHandle_t kDomain = nvtxDomainCreateA("lockstep");
  return kDomain;
}

}  // namespace

ProfilerRange::ProfilerRange(const char* name, int64_t number) {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  if (number >= 0) {
    attributes.payloadType = NVTX_PAYLOAD_TYPE_INT64;
    attributes.payload.llValue = number;
  }
  nvtxDomainRangePushEx(domain(), &attributes);
}

ProfilerRange::~ProfilerRange() {
  nvtxDomainRangePop(domain());
}

}  // namespace lockstep

// Groups of calls: of the calling host thread, done together when the outermost group ends. A call
// outside any is a group of its own.
#pragma once

#include <memory>
#include <vector>

#include "nccl_comm.h"

namespace lockstep::emulator {

struct Initialisation {
  std::shared_ptr<Comm> comm;
  Address address;
  ncclComm_t* handle;  // set where it comes to be
};

struct Call {
  std::shared_ptr<Comm> comm;
  Operand operand;
  cudaStream_t stream;
};

// REQUIRE Quiet. Throw NcclFailure, which a group then returns at its end as well.
ncclResult_t add_to_group(std::vector<Initialisation> initialisations);
ncclResult_t add_to_group(Call call);

void note_group_error(ncclResult_t error);

// As nccl_api, for functions that may be called inside a group: what they throw is its error.
template <class Function>
ncclResult_t nccl_group_api(Function function) {
  const ncclResult_t result = nccl_api(function);
  if (result != ncclSuccess && result != ncclInProgress) note_group_error(result);
  return result;
}

}  // namespace lockstep::emulator

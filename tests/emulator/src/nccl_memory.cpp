// The API of NCCL's memory: allocation, and registration of buffers with communicators.
#include "cuda_runtime_api.h"
#include "memory.h"
#include "nccl_comm.h"

using namespace lockstep::emulator;

ncclResult_t ncclMemAlloc(void** pointer, std::size_t bytes) {
  if (!pointer || bytes == 0) return ncclInvalidArgument;
  return cudaMalloc(pointer, bytes) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclMemFree(void* pointer) {
  return cudaFree(pointer) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclCommRegister(ncclComm_t handle, void* buffer, std::size_t bytes,
                              void** registration) {
  return nccl_api([&] {
    const auto comm = get_comm(handle);
    comm->require_ready();
    require_nccl(registration != nullptr, ncclInvalidArgument, "the handle's place is null");
    const auto allocation = memory().find(buffer);
    require_nccl(allocation && allocation->on_device &&
                     static_cast<char*>(buffer) + bytes <= allocation->begin + allocation->bytes,
                 ncclInvalidArgument, "what is registered is no device memory");
    *registration = comm->add_registration();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommDeregister(ncclComm_t handle, void* registration) {
  return nccl_api([&] {
    get_comm(handle)->remove_registration(registration);
    return ncclSuccess;
  });
}

# LOCKSTEP_USE_NCCL: collectives between several GPUs.
#   AUTO  where GPUs are built for and NCCL is found
#   ON    NCCL that is missing is an error
#   OFF   none: one GPU at most
#
# Sets LOCKSTEP_NCCL. After LockstepCuda.
set(LOCKSTEP_USE_NCCL "AUTO" CACHE STRING "AUTO, ON or OFF: NCCL, for several GPUs")
set_property(CACHE LOCKSTEP_USE_NCCL PROPERTY STRINGS AUTO ON OFF)
# The oldest with non-blocking communicators that can be finalized.
set(LOCKSTEP_NCCL_OLDEST 2.14)

set(LOCKSTEP_NCCL FALSE)
if(LOCKSTEP_USE_NCCL STREQUAL "OFF" OR LOCKSTEP_CUDA_KIND STREQUAL "NONE")
  if(NOT LOCKSTEP_CUDA_KIND STREQUAL "NONE")
    message(STATUS "NCCL: not asked for (LOCKSTEP_USE_NCCL=OFF): one GPU at most")
  endif()
elseif(LOCKSTEP_CUDA_KIND STREQUAL "EMULATED")
  set(LOCKSTEP_NCCL TRUE)
  message(STATUS "NCCL: emulated on the CPU")
else()
  find_package(NCCL)
  list(JOIN NCCL_SEARCHED "\n     " searched)
  set(nccl_remedy "install libnccl-dev, or the Python package nvidia-nccl-cu12, or name its "
    "folder: -DNCCL_ROOT=/path/to/nccl")
  string(JOIN "" nccl_remedy ${nccl_remedy})
  set(nccl_problem "")
  if(NOT NCCL_FOUND)
    set(nccl_problem "nccl.h and libnccl are not on the system, nor at any of\n     ${searched}")
  elseif(NCCL_VERSION VERSION_LESS LOCKSTEP_NCCL_OLDEST)
    set(nccl_problem "${NCCL_LIBRARY} is ${NCCL_VERSION}, older than ${LOCKSTEP_NCCL_OLDEST}")
  endif()
  if(nccl_problem AND LOCKSTEP_USE_NCCL STREQUAL "ON")
    message(FATAL_ERROR "LOCKSTEP_USE_NCCL=ON: ${nccl_problem}\n  -> ${nccl_remedy}")
  elseif(nccl_problem)
    message(STATUS "NCCL: left out, one GPU at most: ${nccl_problem}\n"
      "   -> for several GPUs: ${nccl_remedy}")
  else()
    set(LOCKSTEP_NCCL TRUE)
    message(STATUS "NCCL: ${NCCL_VERSION} (${NCCL_LIBRARY})")
  endif()
endif()

# lockstep_use_nccl(target): the target's C++ sources call NCCL.
function(lockstep_use_nccl target)
  if(LOCKSTEP_CUDA_KIND STREQUAL "NVCC")
    target_link_libraries(${target} PRIVATE NCCL::nccl)
  endif()
endfunction()

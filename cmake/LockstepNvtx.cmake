# LOCKSTEP_NVTX: whether the program names what it does to profilers (NVTX ranges).
#   AUTO   where this build has device code and NVTX's headers are found, which CUDA's toolkit has
#   ON     the same; missing headers are an error
#   OFF    no
#
# Sets LOCKSTEP_NVTX_FOUND and LOCKSTEP_NVTX_INCLUDE. Headers alone: no library is linked. After
# LockstepCuda.
set(LOCKSTEP_NVTX "AUTO" CACHE STRING "AUTO, ON or OFF: ranges for profilers (NVTX)")
set_property(CACHE LOCKSTEP_NVTX PROPERTY STRINGS AUTO ON OFF)
if(NOT LOCKSTEP_NVTX MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LOCKSTEP_NVTX is '${LOCKSTEP_NVTX}': it must be AUTO, ON or OFF")
endif()

set(LOCKSTEP_NVTX_FOUND FALSE)
if(LOCKSTEP_NVTX STREQUAL "OFF" OR LOCKSTEP_CUDA_KIND STREQUAL "NONE")
  return()
endif()
file(GLOB numbered /usr/local/cuda-*/include)
list(SORT numbered COMPARE NATURAL ORDER DESCENDING)
find_path(LOCKSTEP_NVTX_INCLUDE nvtx3/nvToolsExt.h
  HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS /usr/local/cuda/include ${numbered}
  DOC "Folder of nvtx3/nvToolsExt.h, for ranges that profilers show")
mark_as_advanced(LOCKSTEP_NVTX_INCLUDE)
if(LOCKSTEP_NVTX_INCLUDE)
  set(LOCKSTEP_NVTX_FOUND TRUE)
  message(STATUS "NVTX: ranges for profilers, by ${LOCKSTEP_NVTX_INCLUDE}/nvtx3")
elseif(LOCKSTEP_NVTX STREQUAL "ON")
  message(FATAL_ERROR "LOCKSTEP_NVTX=ON: nvtx3/nvToolsExt.h was not found\n"
    "  -> install it with CUDA's toolkit (package cuda-nvtx), or name its folder: "
    "-DLOCKSTEP_NVTX_INCLUDE=FOLDER")
else()
  message(STATUS "NVTX: left out, profilers show no ranges: nvtx3/nvToolsExt.h was not found\n"
    "   -> for ranges: install CUDA's toolkit (cuda-nvtx), or name the folder: "
    "-DLOCKSTEP_NVTX_INCLUDE=FOLDER")
endif()

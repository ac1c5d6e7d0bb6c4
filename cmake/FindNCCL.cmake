# NCCL, where it stands on this machine: its CMake config, NCCL_ROOT, a conda environment, the
# wheel of the Python package index (nvidia/nccl below site-packages, which has libnccl.so.2 without
# a link to it), the CUDA toolkit, the system.
#
# Sets NCCL_FOUND, NCCL_VERSION, NCCL_SEARCHED (the folders looked at), and the target NCCL::nccl.
find_package(NCCL CONFIG QUIET)
if(NCCL_FOUND AND TARGET NCCL::nccl)
  return()
endif()

set(NCCL_SEARCHED ${NCCL_ROOT} $ENV{NCCL_ROOT} $ENV{NCCL_HOME} $ENV{CONDA_PREFIX})
foreach(environment IN ITEMS $ENV{VIRTUAL_ENV} $ENV{CONDA_PREFIX} $ENV{HOME}/.local /usr/local /usr)
  file(GLOB wheels "${environment}/lib/python3*/site-packages/nvidia/nccl"
    "${environment}/lib/python3*/dist-packages/nvidia/nccl")
  list(APPEND NCCL_SEARCHED ${wheels})
endforeach()
list(APPEND NCCL_SEARCHED ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_LIBRARY_ROOT})
list(REMOVE_DUPLICATES NCCL_SEARCHED)

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_SEARCHED} PATH_SUFFIXES include)
# Where the header is before anywhere else: the two must be of one version.
if(NCCL_INCLUDE_DIR)
  get_filename_component(nccl_beside_header ${NCCL_INCLUDE_DIR} DIRECTORY)
endif()
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 NAMES_PER_DIR
  HINTS ${nccl_beside_header} ${NCCL_SEARCHED}
  PATH_SUFFIXES lib lib64 lib/x86_64-linux-gnu lib/aarch64-linux-gnu)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

if(NCCL_INCLUDE_DIR)
  file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h numbers REGEX "#define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" numbers "${numbers}")
  list(JOIN numbers . NCCL_VERSION)
endif()

include(FindPackageHandleStandardArgs)
set(NCCL_FIND_QUIETLY TRUE)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR
  VERSION_VAR NCCL_VERSION)
if(NCCL_FOUND AND NOT TARGET NCCL::nccl)
  add_library(NCCL::nccl UNKNOWN IMPORTED)
  set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
endif()

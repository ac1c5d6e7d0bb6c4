# LOCKSTEP_MPI: whether ranks that mpirun or srun started can work together.
#   AUTO  where an MPI library (MPI-3 or newer) is found
#   ON    always; a library that is missing is an error
#   OFF   never
#
# Sets LOCKSTEP_MPI_FOUND. MPI_HOME, or mpicc on PATH, chooses the library.
set(LOCKSTEP_MPI "AUTO" CACHE STRING "AUTO, ON or OFF: ranks by MPI")
set_property(CACHE LOCKSTEP_MPI PROPERTY STRINGS AUTO ON OFF)
if(NOT LOCKSTEP_MPI MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LOCKSTEP_MPI is '${LOCKSTEP_MPI}': AUTO, ON or OFF")
endif()

set(LOCKSTEP_MPI_FOUND FALSE)
if(NOT LOCKSTEP_MPI STREQUAL "OFF")
  # MPI's C interface, from C++ sources.
  set(MPI_CXX_SKIP_MPICXX TRUE)
  find_package(MPI 3.0 QUIET COMPONENTS CXX)
  set(LOCKSTEP_MPI_FOUND ${MPI_CXX_FOUND})
  if(LOCKSTEP_MPI_FOUND)
    message(STATUS "MPI: ${MPI_CXX_VERSION}, ${MPI_CXX_LIBRARIES}; started by ${MPIEXEC_EXECUTABLE}")
  else()
    set(remedy "install libopenmpi-dev and openmpi-bin, or set MPI_HOME")
    if(LOCKSTEP_MPI STREQUAL "ON")
      message(FATAL_ERROR "LOCKSTEP_MPI=ON: no MPI library (mpicxx on PATH, MPI_HOME): ${remedy}")
    endif()
    message(STATUS "MPI: none found (mpicxx on PATH, MPI_HOME): this build has no ranks by MPI; "
      "for them ${remedy}")
  endif()
endif()

# LOCKSTEP_CUDA: where device code runs.
#   EMULATE  on the CPU: kernels are compiled by the host compiler against tests/emulator
#   AUTO, OFF  nowhere: this version has no CUDA backend yet
#   ON       an error, for the same reason
set(LOCKSTEP_CUDA "AUTO" CACHE STRING "AUTO, ON, OFF, or EMULATE: CUDA on the CPU, for tests")
set_property(CACHE LOCKSTEP_CUDA PROPERTY STRINGS AUTO ON OFF EMULATE)

if(NOT LOCKSTEP_CUDA MATCHES "^(AUTO|ON|OFF|EMULATE)$")
  message(FATAL_ERROR "LOCKSTEP_CUDA is '${LOCKSTEP_CUDA}': it must be AUTO, ON, OFF or EMULATE")
elseif(LOCKSTEP_CUDA STREQUAL "ON")
  message(FATAL_ERROR "LOCKSTEP_CUDA=ON: CUDA is not in this version yet. "
    "Leave LOCKSTEP_CUDA at AUTO, or set it to EMULATE for the tests of the CUDA emulator.")
elseif(LOCKSTEP_CUDA STREQUAL "EMULATE" AND NOT LOCKSTEP_TESTS)
  message(FATAL_ERROR "LOCKSTEP_CUDA=EMULATE needs LOCKSTEP_TESTS=ON: the emulator is one of them")
endif()

# lockstep_emulate_cuda(target): compiles the target's .cu files as C++ and runs its CUDA calls on
# the emulator.
function(lockstep_emulate_cuda target)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cu$")
  foreach(source IN LISTS sources)
    set_source_files_properties(${source} PROPERTIES LANGUAGE CXX
      COMPILE_OPTIONS "-xc++;-Wno-unknown-pragmas")
  endforeach()
  target_link_libraries(${target} PRIVATE lockstep_emulator)
endfunction()

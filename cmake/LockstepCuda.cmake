# LOCKSTEP_CUDA: where device code runs.
#   AUTO     on NVIDIA GPUs where a CUDA toolkit is found that works; else this build has none
#   ON       on NVIDIA GPUs; a toolkit that is missing or does not work is an error
#   OFF      nowhere
#   EMULATE  on the CPU: kernels are compiled by the host compiler against tests/emulator
#
# Sets LOCKSTEP_CUDA_KIND (NVCC, EMULATED or NONE), LOCKSTEP_CUBLAS (cuBLASLt is there), and what src/backend/cuda_build.h.in takes.
# CMAKE_CUDA_ARCHITECTURES chooses architectures, CUDAToolkit_ROOT or CUDACXX the toolkit.
set(LOCKSTEP_CUDA "AUTO" CACHE STRING "AUTO, ON, OFF, or EMULATE: CUDA on the CPU, for tests")
set_property(CACHE LOCKSTEP_CUDA PROPERTY STRINGS AUTO ON OFF EMULATE)

# Those that the toolkit knows of them are compiled for; the newest also as PTX, for GPUs to come.
set(LOCKSTEP_CUDA_DEFAULT_ARCHITECTURES 75 80 86 89 90 100)
# The oldest toolkit that compiles C++20.
set(LOCKSTEP_CUDA_OLDEST 12.0)

# lockstep_find_nvcc(): sets nvcc_found, or empty, and nvcc_searched, the places looked at.
function(lockstep_find_nvcc)
  set(roots ${CUDAToolkit_ROOT} $ENV{CUDAToolkit_ROOT} $ENV{CUDA_HOME} $ENV{CUDA_PATH}
    $ENV{CONDA_PREFIX} /usr/local/cuda)
  file(GLOB numbered /usr/local/cuda-*)
  list(SORT numbered COMPARE NATURAL ORDER DESCENDING)
  list(APPEND roots ${numbered} /opt/cuda /usr/lib/nvidia-cuda-toolkit)
  set(candidates ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX})
  foreach(root IN LISTS roots)
    list(APPEND candidates ${root}/bin/nvcc)
  endforeach()
  string(REPLACE ":" ";" path "$ENV{PATH}")
  foreach(folder IN LISTS path)
    list(APPEND candidates ${folder}/nvcc)
  endforeach()
  list(REMOVE_DUPLICATES candidates)
  set(nvcc_found "" PARENT_SCOPE)
  set(nvcc_searched ${candidates} PARENT_SCOPE)
  foreach(candidate IN LISTS candidates)
    if(EXISTS ${candidate} AND NOT IS_DIRECTORY ${candidate})
      set(nvcc_found ${candidate} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# lockstep_choose_architectures(nvcc): sets nvcc_architectures in the form of
# CMAKE_CUDA_ARCHITECTURES, empty where nvcc does not say what it knows.
function(lockstep_choose_architectures nvcc)
  execute_process(COMMAND ${nvcc} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
  set(chosen "")
  foreach(architecture IN LISTS LOCKSTEP_CUDA_DEFAULT_ARCHITECTURES)
    if(known MATCHES "sm_${architecture}[ \n]")
      list(APPEND chosen ${architecture})
    endif()
  endforeach()
  if(chosen)
    list(POP_BACK chosen newest)
    list(TRANSFORM chosen APPEND -real)
    list(APPEND chosen ${newest})
  endif()
  set(nvcc_architectures "${chosen}" PARENT_SCOPE)
endfunction()

# lockstep_try_nvcc(nvcc architectures): sets nvcc_error to why a C++20 kernel cannot be compiled
# and linked, empty where it can.
function(lockstep_try_nvcc nvcc architectures)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/lockstep_try_nvcc)
  set(source ${folder}/try.cu)
  list(GET architectures -1 newest)
  string(REGEX MATCH "^[0-9]+[a-z]*" newest "${newest}")
  set(arguments -std=c++20 -arch=sm_${newest} -cudart static)
  if(CMAKE_CUDA_HOST_COMPILER)
    list(APPEND arguments -ccbin ${CMAKE_CUDA_HOST_COMPILER})
  elseif(CMAKE_CXX_COMPILER)
    list(APPEND arguments -ccbin ${CMAKE_CXX_COMPILER})
  endif()
  file(MAKE_DIRECTORY ${folder})
  file(WRITE ${source} "#include <string>\n__global__ void store(int* x) { *x = 1; }\n"
    "int main() { store<<<1, 1>>>(nullptr); return std::string(\"\").size(); }\n")
  execute_process(COMMAND ${nvcc} ${arguments} ${source} -o ${folder}/try
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0)
    set(nvcc_error "" PARENT_SCOPE)
  else()
    string(STRIP "${output}" output)
    set(nvcc_error "it does not compile C++20 with ${CMAKE_CXX_COMPILER}:\n${output}" PARENT_SCOPE)
  endif()
endfunction()

# lockstep_look_for_cuda(): sets cuda_problem and cuda_remedy (empty where CUDA can be used), and
# nvcc_found, nvcc_architectures.
macro(lockstep_look_for_cuda)
  set(cuda_problem "")
  set(cuda_remedy "")
  lockstep_find_nvcc()
  if(NOT nvcc_found)
    list(JOIN nvcc_searched "\n     " searched)
    set(cuda_problem "no CUDA toolkit (nvcc) is at any of\n     ${searched}")
    set(cuda_remedy "install CUDA ${LOCKSTEP_CUDA_OLDEST} or later from "
      "https://developer.nvidia.com/cuda-downloads (the toolkit: no driver is needed to build), or "
      "name its folder: -DCUDAToolkit_ROOT=/path/to/cuda")
  else()
    execute_process(COMMAND ${nvcc_found} --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" nvcc_version "${nvcc_version}")
    set(nvcc_version "${CMAKE_MATCH_1}")
    set(nvcc_architectures "${CMAKE_CUDA_ARCHITECTURES}")
    if(NOT nvcc_architectures)
      lockstep_choose_architectures(${nvcc_found})
    endif()
    if(NOT nvcc_version OR nvcc_version VERSION_LESS ${LOCKSTEP_CUDA_OLDEST})
      set(cuda_problem "${nvcc_found} is CUDA ${nvcc_version}")
      set(cuda_remedy "install CUDA ${LOCKSTEP_CUDA_OLDEST} or later and name its folder: "
        "-DCUDAToolkit_ROOT=/path/to/cuda")
    elseif(NOT nvcc_architectures)
      set(cuda_problem "${nvcc_found} knows none of ${LOCKSTEP_CUDA_DEFAULT_ARCHITECTURES}")
      set(cuda_remedy "name the GPU's architecture: -DCMAKE_CUDA_ARCHITECTURES=75")
    else()
      lockstep_try_nvcc(${nvcc_found} "${nvcc_architectures}")
      if(nvcc_error)
        set(cuda_problem "${nvcc_found} (CUDA ${nvcc_version}) was found, but ${nvcc_error}")
        set(cuda_remedy "use a host compiler that CUDA ${nvcc_version} supports: "
          "-DCMAKE_CUDA_HOST_COMPILER=g++-12")
      endif()
    endif()
  endif()
  string(JOIN "" cuda_remedy ${cuda_remedy})
endmacro()

# "75 80 90 and PTX of 90" for 75-real;80-real;90.
function(lockstep_architectures_text list result)
  set(real "")
  set(virtual "")
  foreach(entry IN LISTS list)
    string(REGEX REPLACE "-.*" "" number ${entry})
    if(NOT entry MATCHES "-virtual$")
      list(APPEND real ${number})
    endif()
    if(NOT entry MATCHES "-real$")
      list(APPEND virtual ${number})
    endif()
  endforeach()
  list(JOIN real " " text)
  if(virtual)
    list(JOIN virtual " " virtual)
    string(APPEND text " and PTX of ${virtual}")
  endif()
  set(${result} ${text} PARENT_SCOPE)
endfunction()

if(NOT LOCKSTEP_CUDA MATCHES "^(AUTO|ON|OFF|EMULATE)$")
  message(FATAL_ERROR "LOCKSTEP_CUDA is '${LOCKSTEP_CUDA}': it must be AUTO, ON, OFF or EMULATE")
elseif(LOCKSTEP_CUDA STREQUAL "EMULATE" AND NOT LOCKSTEP_TESTS)
  message(FATAL_ERROR "LOCKSTEP_CUDA=EMULATE needs LOCKSTEP_TESTS=ON: the emulator is one of them")
endif()

set(LOCKSTEP_CUDA_KIND NONE)
set(LOCKSTEP_CUDA_EMULATED false)
set(LOCKSTEP_CUBLAS false)
if(LOCKSTEP_CUDA STREQUAL "EMULATE")
  set(LOCKSTEP_CUDA_KIND EMULATED)
  set(LOCKSTEP_CUDA_EMULATED true)
  set(LOCKSTEP_CUBLAS true)
  set(LOCKSTEP_CUDA_ARCHITECTURES_LIST "75-virtual")
  set(LOCKSTEP_CUDA_ARCHITECTURES_TEXT "75 and later (emulated)")
  # Not a toolkit's: those expect the toolkit's other headers, which the emulator's stand in for.
  find_path(LOCKSTEP_THRUST_INCLUDE thrust/version.h
    DOC "Folder of Thrust's headers (1.17 to 2.x), for the emulated build")
  mark_as_advanced(LOCKSTEP_THRUST_INCLUDE)
  if(NOT LOCKSTEP_THRUST_INCLUDE)
    message(FATAL_ERROR "LOCKSTEP_CUDA=EMULATE needs Thrust's headers (thrust/version.h)\n"
      "  -> install libthrust-dev, or name their folder: -DLOCKSTEP_THRUST_INCLUDE=FOLDER")
  endif()
  message(STATUS "CUDA: emulated on the CPU (LOCKSTEP_CUDA=EMULATE), Thrust in "
    "${LOCKSTEP_THRUST_INCLUDE}")
elseif(LOCKSTEP_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: not asked for (LOCKSTEP_CUDA=OFF)")
else()
  lockstep_look_for_cuda()
  if(cuda_problem AND LOCKSTEP_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LOCKSTEP_CUDA=ON: ${cuda_problem}\n  -> ${cuda_remedy}")
  elseif(cuda_problem)
    message(STATUS "CUDA: left out, training runs on CPUs alone: ${cuda_problem}\n"
      "   -> for GPUs: ${cuda_remedy}")
  else()
    set(CMAKE_CUDA_COMPILER ${nvcc_found})
    set(CMAKE_CUDA_ARCHITECTURES "${nvcc_architectures}")
    if(NOT CMAKE_CUDA_HOST_COMPILER)
      set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(LOCKSTEP_CUDA_KIND NVCC)
    set(LOCKSTEP_CUDA_ARCHITECTURES_LIST "${CMAKE_CUDA_ARCHITECTURES}")
    lockstep_architectures_text("${CMAKE_CUDA_ARCHITECTURES}" LOCKSTEP_CUDA_ARCHITECTURES_TEXT)
    message(STATUS "CUDA: ${CUDAToolkit_VERSION} (${nvcc_found}), code for "
      "${LOCKSTEP_CUDA_ARCHITECTURES_TEXT}")
    if(TARGET CUDA::cublasLt)
      set(LOCKSTEP_CUBLAS true)
      message(STATUS "CUDA: matrix products by cuBLASLt as well as by own kernels")
    else()
      message(STATUS "CUDA: matrix products by own kernels alone: cuBLASLt is not in "
        "${CUDAToolkit_LIBRARY_DIR}\n   -> for cuBLASLt: install the toolkit's libcublas-dev")
    endif()
  endif()
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
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:lockstep_emulator>)
endfunction()

# lockstep_use_cuda(target): the target's C++ sources call CUDA's runtime. Linked statically, the
# program starts where there is no driver.
function(lockstep_use_cuda target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})  # kernels/*.h
  if(LOCKSTEP_CUDA_KIND STREQUAL "EMULATED")
    lockstep_emulate_cuda(${target})
  else()
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
    if(LOCKSTEP_CUBLAS)
      target_link_libraries(${target} PRIVATE CUDA::cublasLt)
    endif()
  endif()
endfunction()

# lockstep_kernel_library(target source...): an object library of device code and its launchers.
function(lockstep_kernel_library target)
  add_library(${target} OBJECT ${ARGN})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  if(LOCKSTEP_CUDA_KIND STREQUAL "EMULATED")
    target_link_libraries(${target} PRIVATE lockstep_options)
    target_compile_features(${target} PUBLIC cxx_std_20)
    target_include_directories(${target} SYSTEM PRIVATE ${LOCKSTEP_THRUST_INCLUDE})
    target_compile_definitions(${target} PRIVATE
      THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP)
    lockstep_emulate_cuda(${target})
    return()
  endif()
  # The standard as an option: CMake 3.25 drops CMAKE_CUDA_STANDARD 20. No -Wpedantic: what nvcc
  # generates is not pedantic.
  target_compile_options(${target} PRIVATE
    -std=c++20 -lineinfo -Xptxas=-v -Xcompiler=-Wall,-Wextra,-Wshadow,-Wno-psabi,-ffp-contract=off
    $<$<BOOL:${LOCKSTEP_WERROR}>:-Werror=all-warnings>)
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  set(launcher ${PROJECT_SOURCE_DIR}/cmake/keep-compiler-log ${CMAKE_CUDA_COMPILER_LAUNCHER})
  set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER "${launcher}")
  if(LOCKSTEP_TESTS)
    add_test(NAME kernels.resources
      COMMAND ${CMAKE_COMMAND} -DLOGS=$<JOIN:$<TARGET_OBJECTS:${target}>,.log$<COMMA>>.log
        -DLIMITS=${PROJECT_SOURCE_DIR}/kernels/resources.txt
        -P ${PROJECT_SOURCE_DIR}/cmake/CheckKernelResources.cmake)
    set_tests_properties(kernels.resources PROPERTIES LABELS cuda_build)
  endif()
endfunction()

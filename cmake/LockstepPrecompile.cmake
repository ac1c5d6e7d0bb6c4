# LOCKSTEP_PRECOMPILE: parse the headers of libraries once for each target, not once for each file.
# A build that goes through a cache of objects (ccache) is faster without it; and without it a file
# that lacks an #include does not compile: the build of developers and that of the stage `tidy`.
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(default_precompile OFF)
else()
  set(default_precompile ON)
endif()
option(LOCKSTEP_PRECOMPILE "Precompile the headers of libraries" ${default_precompile})

set(LOCKSTEP_STANDARD_HEADERS
  <algorithm> <array> <atomic> <charconv> <chrono> <cmath> <cstdint> <cstring> <filesystem>
  <fstream> <functional> <limits> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string>
  <string_view> <system_error> <thread> <utility> <variant> <vector>)

# lockstep_precompile(target header...): these and the standard library's, for the target's sources.
function(lockstep_precompile target)
  if(LOCKSTEP_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${LOCKSTEP_STANDARD_HEADERS} ${ARGN})
  endif()
endfunction()

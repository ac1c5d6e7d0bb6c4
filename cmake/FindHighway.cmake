# Google Highway: its own CMake config where the package ships one, else header and library.
# Defines Highway::hwy.
find_package(hwy CONFIG QUIET)
if(TARGET hwy::hwy)
  add_library(Highway::hwy INTERFACE IMPORTED)
  target_link_libraries(Highway::hwy INTERFACE hwy::hwy)
  set(Highway_FOUND TRUE)
else()
  find_path(Highway_INCLUDE_DIR hwy/highway.h)
  find_library(Highway_LIBRARY hwy)
  include(FindPackageHandleStandardArgs)
  find_package_handle_standard_args(Highway REQUIRED_VARS Highway_LIBRARY Highway_INCLUDE_DIR)
  if(Highway_FOUND AND NOT TARGET Highway::hwy)
    add_library(Highway::hwy UNKNOWN IMPORTED)
    set_target_properties(Highway::hwy PROPERTIES
      IMPORTED_LOCATION "${Highway_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${Highway_INCLUDE_DIR}")
  endif()
endif()

# Compile options that every target of the project shares, as one interface target.
add_library(lockstep_options INTERFACE)
target_compile_options(lockstep_options INTERFACE
  -Wall -Wextra -Wshadow -Wno-psabi
  -ffp-contract=off  # FMA is explicit: the same bits from every compiler and instruction set
  $<$<BOOL:${LOCKSTEP_WERROR}>:-Werror>)
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_options INTERFACE
    -fsanitize=${LOCKSTEP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(lockstep_options INTERFACE -fsanitize=${LOCKSTEP_SANITIZE})
  # The loops are compiled once for each instruction set. Under a sanitizer that takes minutes a
  # file, so the widest and the narrowest stand for those between: other builds test them all.
  target_compile_definitions(lockstep_options INTERFACE "HWY_BROKEN_TARGETS=(HWY_SSE4|HWY_AVX2)")
endif()

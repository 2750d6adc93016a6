# header_self_test: every header of the project compiles alone, and twice in a row. One tiny source for each, so that
# ninja rebuilds only what changed; unoptimised, since nothing is run. Not part of `all`: a CTest builds it. A header
# that guards itself, and that its own .cpp includes before all else when this is configured, was compiled alone there:
# doing so again takes five times as long as the rest. Not in cuda/, which a build may leave out.

set(headers "")
foreach(folder core kernels parallel layers data experiments)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/${folder}/*.h
       ${CMAKE_SOURCE_DIR}/${folder}/*.cuh)
  list(APPEND headers ${found})
endforeach()

# NVIDIA's library does not go with the emulator's headers, which stand for NVIDIA's below.
list(FILTER headers EXCLUDE REGEX "/cuda/cublaslt\\.h$")

set(sources "")
foreach(header ${headers})
  string(REGEX REPLACE "\\.h$" ".cpp" own ${CMAKE_SOURCE_DIR}/${header})
  if(EXISTS ${own} AND NOT header MATCHES "/cuda/")
    file(STRINGS ${own} first REGEX "^ *# *include" LIMIT_COUNT 1)
    file(STRINGS ${CMAKE_SOURCE_DIR}/${header} guard REGEX "^#pragma once$" LIMIT_COUNT 1)
    if(guard AND "${first}" STREQUAL "#include \"${header}\"")
      continue()
    endif()
  endif()
  set(source ${CMAKE_BINARY_DIR}/header_self_test/${header}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
  list(APPEND sources ${source})
endforeach()

add_library(header_self_test OBJECT EXCLUDE_FROM_ALL ${sources})
# Only what a user of the libraries gets: a header that needs a private dependency of its library fails here.
target_link_libraries(header_self_test PRIVATE mixspan_experiments mixspan_layers mixspan_data)
# Device code compiles against the emulator's headers everywhere, also where there is no CUDA.
target_include_directories(header_self_test BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/tests/emulation/overlay)
target_compile_options(header_self_test PRIVATE -O0 -g0 -Wno-unknown-pragmas)

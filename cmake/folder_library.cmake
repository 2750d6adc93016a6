# What every library and program of the project is compiled with.

add_library(mixspan_options INTERFACE)
target_include_directories(mixspan_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(mixspan_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual;$<$<BOOL:${MIXSPAN_WERROR}>:-Werror>>")
target_link_libraries(mixspan_options INTERFACE Threads::Threads)
if(MIXSPAN_SANITIZE)
  target_compile_options(mixspan_options INTERFACE -fsanitize=${MIXSPAN_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(mixspan_options INTERFACE -fsanitize=${MIXSPAN_SANITIZE})
endif()

# folder_library(NAME): every .cpp of this folder (and its subfolders, but for cuda/) is one library. A new file needs
# no line in CMake: where it lies says what it belongs to.
function(folder_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/cuda/") # cuda_library
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC mixspan_options)
endfunction()

# test_program(NAME FOLDER LIBRARIES...): every .cpp in FOLDER is one GoogleTest program.
function(test_program name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  if(sources)
    test_program_of(${name} ${folder} "${sources}" ${ARGN})
  endif()
endfunction()

# test_program_of(NAME LABEL SOURCES LIBRARIES...): these sources are one GoogleTest program. CTest's names of its tests
# begin with TEST_NAMES_BEGIN, where the caller has set that.
function(test_program_of name label sources)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} mixspan_test_support GTest::gtest_main)
  # Compiling tests takes longer than running them: the headers they share are read once, and only the libraries are
  # optimised in full. Under AddressSanitizer, which compiles longest, tests are not optimised at all, and undefined
  # behaviour is looked for in the libraries alone: that takes two fifths off.
  set(optimise -O1)
  if(MIXSPAN_SANITIZE MATCHES "address")
    set(optimise -O0 -g0 -fno-sanitize=undefined)
  endif()
  target_precompile_headers(${name} PRIVATE <fmt/format.h> <gtest/gtest.h> <nlohmann/json.hpp>)
  # g++ 12 sees overlaps and overflows in std::string that are not there (GCC bug 105651 and its kin).
  target_compile_options(${name} PRIVATE
    "$<$<COMPILE_LANGUAGE:CXX>:${optimise};$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-maybe-uninitialized>>")
  add_dependencies(unit_tests ${name})
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${TEST_NAMES_BEGIN}"
                       PROPERTIES LABELS ${label} TIMEOUT 600)
endfunction()

# The CUDA part of a level (core/cuda, kernels/cuda) is a library of its own, in one of three flavours:
#   mixspan_LEVEL_cuda           by nvcc, where CMake finds it;
#   mixspan_LEVEL_cuda           from LEVEL/cuda/absent/*.cpp where it does not: the same functions, which say so;
#   mixspan_LEVEL_cuda_emulated  from the same sources by the host compiler, for tests (tests/emulation).
# A program gets the emulated flavour when its target has the property MIXSPAN_EMULATED.

set(MIXSPAN_CUDA AUTO CACHE STRING "Build for NVIDIA GPUs: AUTO (where nvcc is there), ON, OFF")
set_property(CACHE MIXSPAN_CUDA PROPERTY STRINGS AUTO ON OFF)

set(MIXSPAN_HAS_CUDA OFF)
# Sanitizers look at the code of the host: they get what is emulated, not what nvcc makes.
if(MIXSPAN_CUDA STREQUAL ON OR (MIXSPAN_CUDA STREQUAL AUTO AND NOT MIXSPAN_SANITIZE))
  get_filename_component(nvcc_of_environment "$ENV{CUDACXX}" DIRECTORY)
  find_program(MIXSPAN_NVCC nvcc HINTS ${nvcc_of_environment} PATHS /usr/local/cuda/bin)
  if(MIXSPAN_NVCC)
    set(MIXSPAN_HAS_CUDA ON)
  elseif(MIXSPAN_CUDA STREQUAL ON)
    message(FATAL_ERROR "MIXSPAN_CUDA=ON, but no nvcc is in PATH, CUDACXX or /usr/local/cuda/bin.")
  endif()
endif()

set(MIXSPAN_CUDA_VERSION "")
if(MIXSPAN_HAS_CUDA)
  set(CMAKE_CUDA_COMPILER ${MIXSPAN_NVCC})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  set(CMAKE_CUDA_ARCHITECTURES OFF) # cuda_library names them, file by file
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 does not know it of nvcc
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  # Packages name /usr/include, which must not come before the compiler's own folders.
  list(APPEND CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
    message(FATAL_ERROR "nvcc ${CMAKE_CUDA_COMPILER_VERSION} knows no C++20; wanted 12.0 or newer, or MIXSPAN_CUDA=OFF.")
  endif()
  find_package(CUDAToolkit REQUIRED) # CUDA::cudart_static; CUDA::cublasLt is there for who needs it
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" MIXSPAN_CUDA_VERSION ${CMAKE_CUDA_COMPILER_VERSION})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_SOURCE_DIR}/cmake/ptxas_log.sh ${CMAKE_CXX_COMPILER_LAUNCHER})
  message(STATUS "CUDA: ${MIXSPAN_CUDA_VERSION} (${MIXSPAN_NVCC})")
else()
  message(STATUS "CUDA: none; device=cuda will not be there")
endif()

set(MIXSPAN_ARCH_SM80 -gencode=arch=compute_80,code=sm_80)
set(MIXSPAN_ARCH_SM90 -gencode=arch=compute_90a,code=sm_90a)

# nvcc_options(TARGET SOURCES...): what every .cu is compiled with. NAME_sm90.cu is compiled for Hopper alone, all
# others for Ampere and Hopper.
function(nvcc_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
    --expt-relaxed-constexpr $<$<BOOL:${MIXSPAN_WERROR}>:-Werror=all-warnings> -Xcompiler=-Wall,-Wextra -Xptxas=-v,-warn-spills>)
  # fmt 9 takes nvcc for a compiler without constexpr functions.
  target_compile_definitions(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  foreach(source ${ARGN})
    if(source MATCHES "_sm90\\.cu$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${MIXSPAN_ARCH_SM90}")
    elseif(source MATCHES "\\.cu$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${MIXSPAN_ARCH_SM80};${MIXSPAN_ARCH_SM90}")
    endif()
  endforeach()
endfunction()

# cuda_library(LEVEL): the folder's cuda/ as a library that LEVEL's own needs and that needs LEVEL's own.
function(cuda_library level)
  if(MIXSPAN_HAS_CUDA)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cpp)
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/absent/*.cpp)
  endif()
  set(library mixspan_${level}_cuda)
  if(NOT sources)
    add_library(${library} INTERFACE)
  else()
    add_library(${library} STATIC ${sources})
    target_link_libraries(${library} PUBLIC mixspan_${level})
    if(MIXSPAN_HAS_CUDA)
      nvcc_options(${library} ${sources})
      target_link_libraries(${library} PUBLIC CUDA::cudart_static)
    endif()
  endif()
  # Judged for the program that is linked, not for the library.
  set(flavour "$<IF:$<BOOL:$<TARGET_PROPERTY:MIXSPAN_EMULATED>>,${library}_emulated,${library}>")
  target_link_libraries(mixspan_${level} INTERFACE ${flavour})
endfunction()

// Stands before CUDA's own header of this name on the include path of the emulated build.
#pragma once

#include "tests/emulation/cuda_api.h"
#include "tests/emulation/cuda_device.h"
#include "tests/emulation/cuda_math.h"
#include "tests/emulation/vector_types.h"

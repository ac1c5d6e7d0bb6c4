// The emulator's cuda_runtime.h: host code and kernels written against CUDA compile with the host
// compiler. There is no `__shared__`: shared memory comes from kernels/device.h.
#pragma once

#include "cuda_runtime_api.h"
#include "emulator/atomics.h"
#include "emulator/builtins.h"
#include "emulator/intrinsics.h"
#include "emulator/launch.h"
#include "emulator/warp.h"

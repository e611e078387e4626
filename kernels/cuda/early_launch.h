// Whether a launch may begin while the one before it still runs.
#pragma once

namespace powerhouse::cuda {

/// Whether kernels of the current device wait for the launch before them (wait_for_launch_before() of primitives.cuh).
/// Code for compute capability 9.0 and newer does, which no older device runs; code for an older one that the driver
/// compiled for a newer device does not.
bool kernels_wait_for_launch_before();

}  // namespace powerhouse::cuda

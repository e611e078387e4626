// What this processor is and how many of its cores are ours.
#pragma once

#include <string>

namespace powerhouse {

/// The processor's name as the system gives it, e.g. "AMD EPYC 9354".
std::string processor_name();

/// Physical cores that this process may use: the affinity mask without hyper-thread siblings, bounded by the cgroup's
/// CPU quota (rounded up). At least 1.
int usable_cores();

/// The peak resident size of this process in bytes.
unsigned long long peak_resident_bytes();

}  // namespace powerhouse

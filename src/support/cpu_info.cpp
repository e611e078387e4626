#include "support/cpu_info.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace powerhouse {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The cgroup's quota in cores, or infinity. Version 2 first, then version 1.
double cgroup_cores() {
  double cores = INFINITY;
  double quota = 0;
  double period = 0;
  std::string group = "/";
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) group = line.substr(3);
  }
  // A limit may stand at any level above us.
  while (true) {
    std::istringstream limit(first_line("/sys/fs/cgroup" + group + (group == "/" ? "" : "/") + "cpu.max"));
    if (limit >> quota >> period && period > 0) cores = std::min(cores, quota / period);
    const auto slash = group.rfind('/');
    if (slash == std::string::npos || group == "/") break;
    group = slash == 0 ? "/" : group.substr(0, slash);
  }
  std::istringstream v1_quota(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  std::istringstream v1_period(first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) cores = std::min(cores, quota / period);
  return cores;
}

// The processors that the process may run on.
std::vector<int> usable_processors() {
  std::vector<int> processors;
#ifdef _OPENMP
  // With OMP_PLACES or OMP_PROC_BIND libgomp has bound this thread to one place before anyone asks: places know all.
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> ids(static_cast<std::size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, ids.data());
    processors.insert(processors.end(), ids.begin(), ids.end());
  }
  if (!processors.empty()) return processors;
#endif
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return processors;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) processors.push_back(cpu);
  }
  return processors;
}

}  // namespace

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

int usable_cores() {
  // Hyper-thread siblings share a list such as "0,64": one core each.
  std::set<std::string> siblings;
  for (const int cpu : usable_processors()) {
    std::string line =
        first_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    siblings.insert(line.empty() ? std::to_string(cpu) : std::move(line));
  }
  int cores = std::max(1, static_cast<int>(siblings.size()));
  const double limit = cgroup_cores();
  if (limit < cores) cores = std::max(1, static_cast<int>(std::ceil(limit)));
  return cores;
}

unsigned long long peak_resident_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<unsigned long long>(usage.ru_maxrss) * 1024;
}

}  // namespace powerhouse

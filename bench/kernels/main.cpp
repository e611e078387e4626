// Entry of kernels_bench: names the instruction set in the header and stops where POWERHOUSE_ISA names none.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "kernels/cpu/kernels.h"

int main(int argc, char** argv) {
  const powerhouse::cpu::CpuKernels* table = powerhouse::cpu::selected_kernels();
  if (table == nullptr) {
    std::fputs("POWERHOUSE_ISA names no instruction set that this processor runs\n", stderr);
    return 1;
  }
  benchmark::AddCustomContext("instruction_set", table->name);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

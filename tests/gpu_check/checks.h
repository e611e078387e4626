// The groups of checks and measurements: one process each, so that what one breaks stays its own.
#pragma once

#include "gpu_check/report.h"

namespace powerhouse::gpu_check {

struct Group {
  const char* name;
  void (*run)(Report& report, const Machine& machine);
  bool measures;  ///< needs a real device
};

/// Ends with a null name.
extern const Group kGroups[];

void check_norms(Report& report, const Machine& machine);
void check_elementwise(Report& report, const Machine& machine);
void check_cross_entropy(Report& report, const Machine& machine);
void check_blocks(Report& report, const Machine& machine);
void check_few_rows(Report& report, const Machine& machine);
void check_repacked(Report& report, const Machine& machine);
void check_flash_attention(Report& report, const Machine& machine);
void check_flash_gradients(Report& report, const Machine& machine);
void check_paged_attention(Report& report, const Machine& machine);
void check_sampling(Report& report, const Machine& machine);
void check_optimizer(Report& report, const Machine& machine);
void check_adapters(Report& report, const Machine& machine);
void check_model(Report& report, const Machine& machine);

void measure_attention(Report& report, const Machine& machine);
void measure_paged(Report& report, const Machine& machine);
void measure_products(Report& report, const Machine& machine);
void measure_model(Report& report, const Machine& machine);

}  // namespace powerhouse::gpu_check

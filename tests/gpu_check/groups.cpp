#include "gpu_check/checks.h"

namespace powerhouse::gpu_check {

const Group kGroups[] = {{"norms", check_norms, false},
                         {"elementwise", check_elementwise, false},
                         {"cross_entropy", check_cross_entropy, false},
                         {"blocks", check_blocks, false},
                         {"few_rows", check_few_rows, false},
                         {"repacked", check_repacked, false},
                         {"flash_attention", check_flash_attention, false},
                         {"flash_gradients", check_flash_gradients, false},
                         {"paged_attention", check_paged_attention, false},
                         {"sampling", check_sampling, false},
                         {"optimizer", check_optimizer, false},
                         {"adapters", check_adapters, false},
                         {"model", check_model, false},
                         {"attention_speed", measure_attention, true},
                         {"paged_speed", measure_paged, true},
                         {"product_speed", measure_products, true},
                         {"model_speed", measure_model, true},
                         {nullptr, nullptr, false}};

}  // namespace powerhouse::gpu_check

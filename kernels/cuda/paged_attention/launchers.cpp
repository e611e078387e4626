#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

bool paged_attention(const PagedAttentionParams& params, Stream stream) {
  if (!paged_attention_fits(params)) return false;
  switch (params.type) {
    case Element::bf16: paged_attention_bf16(params, stream); break;
    case Element::f16: paged_attention_f16(params, stream); break;
    case Element::f32: paged_attention_f32(params, stream); break;
  }
  return true;
}

}  // namespace powerhouse::cuda

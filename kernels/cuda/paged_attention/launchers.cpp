#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

bool paged_attention(const PagedAttentionParams& params, Stream stream) {
  if (!paged_attention_fits(params)) return false;
  params.type == Element::f32 ? paged_attention_f32(params, stream) : paged_attention_two_bytes(params, stream);
  return true;
}

}  // namespace powerhouse::cuda

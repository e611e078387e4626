# Faults planted in flash attention's forward kernel: name, file, what stands there, what stands there instead.
#
# Each makes a program of its own with the changed file in front of the right one; it runs the same cases as the kernel's
# test and has to find the fault (planted/flash_forward_planted.cpp).
set(forward kernels/cuda/flash_attention/forward.cuh)
set(copy kernels/cuda/flash_attention/copy.cuh)
set(document kernels/cuda/flash_attention/document.cuh)
set(products kernels/cuda/flash_attention/products.cuh)
set(mask kernels/cuda/flash_attention/mask.cuh)
set(softmax kernels/cuda/flash_attention/softmax.cuh)
set(scores kernels/cuda/flash_attention/scores.cuh)
set(swizzle kernels/cuda/flash_attention/swizzle.cuh)

plant(missing_barrier ${copy} "  sync_block();\n" "" "read before")
plant(shared_numbers_not_written ${forward} "if (place.thread == 0) kept = found;" "" "read before")
plant(missing_wait ${copy} "copy_async_wait<0>();" "" "cp.async")
plant(late_wait ${copy} "copy_async_wait<0>();" "copy_async_wait<1>();" "cp.async")
plant(missing_warp_barrier ${forward} "  sync_warp();" "" "race")
plant(no_swizzle ${swizzle} "return kChunks == 8 ? row % 8 : row / 2 % 4;" "return row * 0;" "traffic")
plant(wrong_swizzle ${products} "lane / 8 % 2 ^ Lay::of_row(lane % 8)}" "lane / 8 % 2 ^ Lay::of_row(lane % 8) ^ 2}" "lse of")
plant(mask_one_key_late ${scores} "n * 8 + e >= end" "n * 8 + e > end" "lse of")
plant(window_one_key_short ${mask} "row + offset - left)" "row + offset - left + 1)" "lse of")
plant(cut_tile_taken_for_whole ${mask} "full_end = larger(0, seen.end(first)) / kBlockN;"
  "full_end = (larger(0, seen.end(first)) + kBlockN - 1) / kBlockN;" "lse of")
plant(row_bound_one_late ${copy} "pass * kRows < rows" "pass * kRows <= rows" "out of bounds")
plant(gap_read_as_column ${copy} "(segment + 1 < Lay::kSegments || last_valid)" "(segment >= 0 || last_valid)" "lse of")
plant(output_not_rescaled ${softmax} "out[row / 2][n][row % 2 * 2] *= before[row];" "" "out of")
plant(rescaled_for_the_last_row_only ${softmax} "raised = raised || " "raised = " "lse of")
plant(largest_of_half_a_row ${softmax} "top = maximum(top, shuffle_xor(top, 2));" "" "out of")
plant(lse_without_largest ${softmax} "lse = (most + log2_approximate(total)) * kLn2;"
  "lse = log2_approximate(total) * kLn2;" "lse of")
plant(sink_forgotten_in_sum ${softmax} "if (has_sink) total += " "if (has_sink && top == kMinusInfinity) total += " "lse of")
plant(wrong_key_head ${forward} "head / (p.heads / p.kv_heads)" "head % p.kv_heads" "lse of")
plant(queries_begin_for_keys ${document} "k_row = p.cu_seqlens_k[document];" "k_row = p.cu_seqlens_q[document];" "lse of")

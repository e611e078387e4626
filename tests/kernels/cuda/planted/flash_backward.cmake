# Faults planted in flash attention's backward kernels: name, head size, file, what stands there, what stands there
# instead, and how it is found. Between two @ stands what is replaced (powerhouse_plant).
set(folder kernels/cuda/flash_attention)
set(backward ${folder}/backward.cuh)
set(warp ${folder}/backward_warp.cuh)
set(shared ${folder}/backward_shared.cuh)
set(rows ${folder}/backward_rows.cuh)
set(workspace ${folder}/backward_workspace.cuh)

plant_backward(missing_barrier 64 ${backward} "@sync_block();@  // all gradients of scores are there" "" "race")
plant_backward(missing_barrier_before_overlay 128 ${backward} "if (Tile::kOverlaid) @sync_block();@" "" "race")
plant_backward(missing_barrier_of_sharers 256 ${backward} "@sync_block();@  // no warp reads these queries any more" ""
  "race")
plant_backward(missing_barrier_between_heads 64 ${backward}
  "@sync_block();@  // no warp reads what was said of the head before" "" "race")
plant_backward(late_wait 64 ${folder}/copy.cuh "copy_async_wait<0>();" "copy_async_wait<1>();" "cp.async")
plant_backward(wrong_delta 64 ${rows} "sum += @a[i]@ * b[i]" "b[i]" "dk of")
plant_backward(wrong_lse 64 ${rows} "+ row] * @kLog2E@" "kLog2E * 0.9f" "dv of")
plant_backward(absent_keys_have_weights 64 ${warp} "of_key < seen.queries ? seen.end(of_key) - query : 0"
  "seen.end(of_key) - query" "dq of")
plant_backward(mask_one_query_late 64 ${warp} "column >= end[e / 2]" "column > end[e / 2]" "dv of")
plant_backward(windows_changed 64 ${shared}
  "seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_right, plan.window_left};"
  "seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_left, plan.window_right};" "dv of")
plant_backward(keys_without_scale 64 ${backward} "shared.k, dk, @f.scale@" "1.0f" "dk of")
plant_backward(queries_without_scale 64 ${rows} "pack(low * f.scale, high * f.scale, Element{})"
  "pack(low, high, Element{})" "dq of")
plant_backward(forgotten_head_of_group 64 ${shared} "heads_left(@heads - 1@)" "heads - 2" "dv of")
plant_backward(lost_atomics 64 ${warp}
  "add_to_global(own + i * Tile::kThreads, dq[i / 4 / Tile::kQueryColumns][i / 4 % Tile::kQueryColumns][i % 4]);"
  "store_as(own + i * Tile::kThreads, dq[i / 4 / Tile::kQueryColumns][i / 4 % Tile::kQueryColumns][i % 4]);" "race")
plant_backward(sums_not_begun 64 ${rows} "store_words(sums + i, Words{});" "" "read before")
plant_backward(documents_share_a_tile 64 ${workspace}
  "head * plan.tiles + @p.forward.cu_seqlens_q[document] / Tile::kBlockM + document@;"
  "p.forward.cu_seqlens_q[document] / Tile::kBlockM" "race")
plant_backward(softcap_without_derivative 64 ${warp} "score *= change.derivative(capped);" "" "dk of")
plant_backward(dropout_forgotten_in_gradient 64 ${warp} "!= 0 ? of_weight * factor : @0.0f@" "of_weight" "dk of")
plant_backward(dropout_of_wrong_rows 64 ${folder}/dropout.cuh "row + pair * 8 + @lane % 16@" "lane % 8" "dv of")
plant_backward(sink_with_wrong_sign 64 ${rows}
  "sum -= exp2_approximate(sink - numbers[0]) * numbers[Tile::kBlockM];"
  "sum += exp2_approximate(sink - numbers[0]) * numbers[Tile::kBlockM];" "dsinks of")
plant_backward(half_of_columns_twice 256 ${warp} "with.bits ^= half * 4;" "" "dv of")
plant_backward(no_swizzle_backward 64 ${folder}/swizzle.cuh "return @kChunks == 8 ? row % 8 : row / 2 % 4@;" "row * 0"
  "traffic")

# Faults planted in the kernels over a paged cache and of several adapters: name, of what, file, what stands there, what
# stands there instead, how it is found. Between two @ stands what is replaced (powerhouse_plant).
set(paged kernels/cuda/paged_attention)

plant_paged(combined_before_the_parts attention ${paged}/launch.cuh
  "if (plan.columns == 2) launch_parts<T, kHeadDim, Cells, 2>(launch, p, plan);\n  if (plan.parts > 1) launch_combine<T, kHeadDim>(launch, p, plan);"
  "if (plan.parts > 1) launch_combine<T, kHeadDim>(launch, p, plan); if (plan.columns == 2) launch_parts<T, kHeadDim, Cells, 2>(launch, p, plan);"
  "read before")
plant_paged(parts_not_weighed attention ${paged}/combine.cuh "weight = @weight_of(first.stat[part * 2], all.largest)@;" "1.0f" "out of")
plant_paged(sums_of_parts_not_weighed attention ${paged}/combine.cuh "part * 2 + 1] * @weight_of(first.stat[part * 2], all.largest)@;"
  "1.0f" "out of")
plant_paged(groups_of_parts_read_too_early attention ${paged}/combine.cuh "@sync_block();@" "" "read before")
plant_paged(strips_not_weighed attention ${paged}/part_sums.cuh "factor[e] = @weight_of(own[n][e].largest, all.largest)@;"
  "1.0f" "out of")
plant_paged(one_strip_short attention ${paged}/part_sums.cuh "turn < @Tile::kStrips@" "Tile::kStrips - 1" "out of")
plant_paged(strips_added_at_once attention ${paged}/part_sums.cuh "turn == 0, vector, lane);\n      @sync_block();@" "" "shared")
plant_paged(stats_read_too_early attention ${paged}/part_sums.cuh "own[n][e];\n      }\n    }\n    @sync_block();@" "" "read before")
plant_paged(part_counted_from_zero attention ${paged}/part_sums.cuh "part - @seen.first_part()@;" "0" "read before")
plant_paged(sink_counted_twice attention ${paged}/part_sums.cuh "+ @weight_of(sink, most)@);" "2.0f * weight_of(sink, most)" "out of")
plant_paged(no_zeros_where_nothing_is_seen attention ${paged}/decode.cuh "if (blockIdx.y == 0) @store_nothing<T>(p, vectors);@" "" "out of")
plant_paged(page_read_past_its_end attention ${paged}/strip_ring.cuh "position < begin || @position >= end@" "position > end" "out of")
plant_paged(wrong_page attention ${paged}/pages.cuh ">= 0 ? @position >> bytes.page_shift@ :"
  "(position >> bytes.page_shift) ^ (position >> bytes.page_shift > 1 ? 1 : 0)" "out of")
plant_paged(values_by_the_keys_table attention ${paged}/strip_ring.cuh "cache.key_pages : @cache.value_pages@" "cache.key_pages" "out of")
plant_paged(wrong_sequence attention ${paged}/strip_ring.cuh "@blockIdx.z@ * cache.table_stride" "blockIdx.z / 2" "out of")
plant_paged(mask_one_position_late attention ${paged}/vectors_of_block.cuh "position >= begin && @position < end@" "position <= end" "out of")
plant_paged(window_one_position_long attention ${paged}/pages.cuh "? @end - window@ : 0" "end - window - 1" "out of")
plant_paged(all_rows_see_what_the_first_does attention ${paged}/vectors_of_block.cuh
  "return {sequence.position(@row(vector)@), window};" "row(vector) * 0" "out of")
plant_paged(slope_of_the_groups_first_head attention ${paged}/vectors_of_block.cuh "p.alibi_slopes[vectors.head(@vector@)]" "0" "out of")
plant_paged(block_of_q8_0_of_its_neighbor attention ${paged}/cells.cuh "decode_q8_0(row + @at / 32@ * 34," "at / 64" "out of")
plant_paged(codes_without_sign attention ${paged}/block_products.cuh "@masked_or(bytes, 0x00800080u, 0xC300C300u)@" "0xC300C300u" "out of")
plant_paged(scale_of_the_first_of_two_blocks attention ${paged}/block_products.cuh "(at + @second@ * kBlockBytes" "0 * second" "out of")
plant_paged(word_of_one_end attention ${paged}/block_products.cuh "kCodeWords - 1 ? @0x7610u@" "0x3210u" "out of")
plant_paged(values_without_scale attention ${paged}/block_products.cuh "weighed[n][half * 2 + 1] * @scale@" "1.0f" "out of")
plant_paged(large_scales_by_the_unit_of_small_ones attention ${paged}/block_products.cuh "(large ? @kLargeUnit@ : kWeightUnit)" "kWeightUnit" "out of")
plant_paged(queries_not_turned attention ${paged}/block_products.cuh "at + (@block % 2@ == 0 ? 2 : 0)" "1" "out of")
plant_paged(output_not_turned_back attention ${paged}/block_products.cuh "back = @block % 2@ == 0 ? 2 : 0" "1" "out of")
plant_paged(weights_of_one_vector attention ${paged}/products.cuh "pack(weights[n][half * 2], weights[n][@half * 2 + 1@]" "half * 2" "out of")
plant_paged(even_rows_without_skew attention ${paged}/strip_ring.cuh "static_cast<std::uint32_t>(@address % 4@)" "address % 1" "out of")
plant_paged(nothing_behind_small_heads attention ${paged}/decode.cuh "@ring.clear();@" "" "read before")
plant_paged(wait_one_tile_late attention ${paged}/strip_ring.cuh "copy_async_wait<Tile::kStages - 1>();" "copy_async_wait<Tile::kStages>();" "cp.async")
plant_paged(tile_overwritten_while_read attention ${paged}/decode.cuh "@ring.sync();@  // no warp of the strip reads this tile any more" ""
  "shared")
plant_paged(rows_into_the_stage_before attention ${paged}/decode.cuh "(!Tile::kSumsInRing) ring.start(tile + @Tile::kStages@, page);" "Tile::kStages - 1"
  "cp.async")
plant_paged(sums_overwritten_by_copies attention ${paged}/decode.cuh
  "if constexpr (Tile::kSumsInRing) @sync_block();@  // the next copies go where the sums stand" "" "shared")
plant_paged(largest_of_half_a_strip attention ${paged}/strip_softmax.cuh "top = maximum(top, shuffle_xor(top, 16));" "" "out of")
plant_paged(output_not_rescaled attention ${paged}/strip_softmax.cuh "out[m][n][i] *= before[n][i % 2];" "" "out of")

plant_paged(written_one_position_late write ${paged}/pages.cuh "return @length - rows + row@;" "length - rows + row + 1" "bytes of the cache")
plant_paged(wrong_scale_of_q8_0 write ${paged}/cells.cuh "/ @127.0f@" "128.0f" "bytes of the cache")
plant_paged(half_codes_to_even write ${paged}/cells.cuh "roundf(multiply(x[e], turn))" "rintf(multiply(x[e], turn) - 0.25f)" "bytes of the cache")
plant_paged(last_of_equal_extremes write ${paged}/cells.cuh "magnitude(x[e]) <= magnitude(extreme)" "magnitude(x[e]) <= 2 * magnitude(extreme)"
  "bytes of the cache")
plant_paged(rows_before_the_first write ${paged}/rows.cuh "&& @position >= 0@" "true" "bytes of the cache")

set(lora kernels/cuda/lora_gather.cuh)
plant_paged(run_of_two_adapters lora ${lora} "p.adapters[begin + end] == adapter" "p.adapters[begin + end] >= 0" "y of")
plant_paged(sums_read_too_early lora ${lora} "@sync_block();@\n    if (thread < rows)" "" "shared")
plant_paged(sums_overwritten lora ${lora} "@sync_block();@\n  });" "" "race")
plant_paged(halves_not_apart lora ${lora} "row + rank / 2 + at / 2" "row + rank * 0 + at / 2 + 4" "y of")
plant_paged(rank_of_another_adapter lora ${lora} "output * rank + at" "output * p.most_rank + at" "out of bounds")
plant_paged(scale_forgotten lora ${lora} "@p.scales[adapter]@ * sums[row]" "1.0f" "y of")

set(few kernels/cuda/few_rows_product.cuh)
set(few_norm kernels/cuda/few_rows_norm.cuh)
set(few_ring kernels/cuda/few_rows_ring.cuh)
plant_paged(few_rows_waits_one_step_late few_rows ${few} "copy_async_wait<Shape::kStages - 2>();"
  "copy_async_wait<Shape::kStages - 1>();" "cp.async")
plant_paged(few_rows_sums_read_too_early few_rows ${few} "@sync_block();@\n    finish_tile" "" "shared")
plant_paged(few_rows_sums_not_swapped few_rows ${few} "sums = @other_sums@;" "sums" "shared")
plant_paged(few_rows_squares_read_too_early few_rows ${few_norm} "put_squares(n, squares_of_warps);\n    @sync_block();@" "" "shared")
plant_paged(few_rows_of_the_first_part few_rows ${few} "const FewRowsPart& part = p.parts[@tile.part@];" "0" "y of")
plant_paged(few_rows_last_output_missed few_rows ${few} "if (output >= @part.outputs@) continue;" "part.outputs - 1" "y of")
plant_paged(few_rows_norm_of_the_first_row few_rows ${few_norm} "warp * 8 * kRowTiles + @row@];" "0" "y of")
plant_paged(few_rows_upper_outputs_twice few_rows ${few_ring} "lane.group + @upper@ * 8" "0" "y of")
plant_paged(few_rows_residual_of_the_first_row few_rows ${few} "p.residual)[@row@ * p.residual_stride" "0" "y of")
plant_paged(few_rows_gate_for_up few_rows ${few} "round_to<T>(value[@1@]);" "0" "y of")
plant_paged(few_rows_steps_of_one_warp_missed few_rows ${few} "thread / 32 * @steps@, steps" "(steps - 1)" "y of")
set(turned kernels/cuda/rope_write.cuh)
plant_paged(turned_key_at_the_next_position turning ${turned} "paged_row(cache, bytes, pages, @position@, head)" "position ^ 1" "bytes of the cache")
plant_paged(turned_by_another_rows_angles turning ${turned} "rope.cos + @row@ * rope.table_stride" "own" "queries")
plant_paged(rest_of_keys_forgotten turning ${turned} "cache.kv_heads * (parts + @rest@)" "0" "bytes of the cache")
plant_paged(values_of_the_first_head turning ${turned} "@head@ * p.write.value_head_stride" "0" "bytes of the cache")

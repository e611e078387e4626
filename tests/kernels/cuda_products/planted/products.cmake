# Faults planted in products on tensor cores: name, file, what stands there, what stands there instead, how it is found,
# and the kernels that are looked at. Between two @ stands what is replaced (powerhouse_plant).
set(tile kernels/cuda/product_tile.cuh)
set(blocks kernels/cuda/blocks_product.cuh)
set(strips kernels/cuda/repacked_product.cuh)
set(repack kernels/cuda/repack.cuh)

plant_product(product_barrier_of_steps ${tile} "@sync_block();@  // all threads" "" "read before" blocks)
plant_product(product_late_wait ${tile} "copy_async_wait<kStages - 2>();" "copy_async_wait<kStages - 1>();" "cp.async"
  blocks)
plant_product(product_barrier_before_sums ${tile} "@sync_block();@  // the sums" "" "race" blocks)
plant_product(product_no_swizzle ${tile} "return @row % 2 * (kFar ? 2 : 4)@;" "row * 0" "traffic" blocks)
plant_product(product_row_bound ${tile} "@row < rows@ && step" "row <= rows" "out of bounds" blocks)
plant_product(product_split_left_out ${tile} "split = @1@; split < p.splits" "2" "y of" blocks)
plant_product(product_bias_of_splits ${tile} "if (@p.bias != nullptr@) sum += widen(static_cast<const Element*>(p.bias)[output]);"
  "false" "y of" blocks)
plant_product(product_sums_in_one_bank ${tile} "Shape::kSumsOfRow" "Shape::kOutputs" "traffic" blocks)
plant_product(product_sector_not_carried ${blocks} "if (@skew != 0@) {" "skew < 0" "read before" blocks)
plant_product(product_outputs_unbounded ${blocks} "@row < rows@ && part" "true" "out of bounds" blocks)
plant_product(product_buffer_of_chunk ${blocks} "(@chunk % 2@ * kStripOutputs + row) * kRoom" "(chunk + 1) % 2" "read before"
  blocks)
plant_product(product_inputs_of_far_lanes ${blocks} "kStep + @eight_of<kFar>(half, lane)@ * 8" "eight_of<false>(half, lane)"
  "y of" blocks)
plant_product(product_zero_of_other_outputs ${strips} "less_zero<Element>(pair, zeros[@i % 2@])" "0" "y of" repacked)
plant_product(product_group_not_entered ${strips} "level = next;" "" "y of" repacked)
plant_product(product_last_group_left_out ${tile} "weight.finish(sums);" "" "y of" repacked)
plant_product(product_stage_not_ahead ${strips} "start_step(step + @kStages - 1@, stage)" "1" "y of" repacked)
plant_product(product_columns_not_ordered ${strips} "product.x = ordered;" "product.x_stride = 0;" "y of" repacked)
plant_product(product_awq_in_order ${repack} "of_eight / 2 + of_eight % 2 * 4" "of_eight" "y of" repacked)

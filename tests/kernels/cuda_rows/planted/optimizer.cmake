# Faults planted in steps of optimizers: name, of what, file, what stands there, what stands there instead, how it is
# found. Between two @ stands what is replaced (powerhouse_plant).
set(optimizer kernels/cuda/optimizer.cuh)
plant_optimizer(update_wide_at_any_address updates ${optimizer} "whole = @wide@ ? begin" "true" "misaligned")
plant_optimizer(update_rest_forgotten updates ${optimizer} "i < @end@; i += kUpdateThreads) update_elements" "whole" "array")
plant_optimizer(update_of_the_parameter_before updates ${optimizer} "(@table.items[middle].first_chunk <= chunk@ ? low"
  "table.items[middle].first_chunk < chunk" "array")
plant_optimizer(update_past_the_end updates ${optimizer} "begin + kUpdateChunk : @item.elements@}" "begin + kUpdateChunk" "out of bounds")
plant_optimizer(update_momentum_of_a_first_step updates ${optimizer} "a = @p.first@ ? g" "false" "array")
plant_optimizer(update_nesterov_forgotten updates ${optimizer} "w = fmaf(-p.lr, @p.nesterov@ ?" "false" "array")
plant_optimizer(update_master_not_stored updates ${optimizer} "if (@p.master != nullptr@) store_elements" "false" "array 2")
plant_optimizer(update_decay_forgotten updates ${optimizer} "w *= p.decay;" "" "array")
plant_optimizer(update_states_of_another_type updates ${optimizer} "wide_states = @params.a.data == nullptr || params.a.type == Element::f32@;"
  "true" "misaligned")
plant_optimizer(sums_of_halves_too_early sums ${optimizer} "@sync_block();@\n    if (threadIdx.x < half)" "" "shared")
plant_optimizer(sums_rest_forgotten sums ${optimizer} "i < @chunk.end@; i += kUpdateThreads) sum" "whole" "sum")
plant_optimizer(sums_of_the_parameter_before sums ${optimizer} "chunk = @item.first_chunk@ + threadIdx.x" "0" "sum")

set(codes8 kernels/cuda/adamw8.cuh)
plant_optimizer(codes_maps_not_waited_for codes ${codes8} "copy_map(maps.b, map_b);\n  @sync_block();@" "" "read before")
plant_optimizer(codes_scale_overwritten codes ${codes8} "@sync_warp();@  // all have read the scale" "" "race")
plant_optimizer(codes_largest_of_half_a_warp codes ${codes8} "for (int lanes = @16@; lanes" "8" "absmax")
plant_optimizer(codes_decay_forgotten codes ${codes8} "w[i] * @params.decay@ -" "1.0f" "master")

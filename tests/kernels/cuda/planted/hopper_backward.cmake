# Faults planted in flash attention's backward kernels for Hopper: name, head size, file, what stands there, what stands
# there instead, and how it is found. Between two @ stands what is replaced (powerhouse_plant).
set(folder kernels/cuda/flash_attention)
set(backward ${folder}/hopper_backward.cuh)
set(group ${folder}/hopper_backward_group.cuh)
set(shared ${folder}/hopper_backward_shared.cuh)
set(segments ${folder}/segments.cuh)

plant_hopper_backward(missing_barrier 64 ${backward}
  "@sync_block();@          // all gradients of scores are there" "" "race")
plant_hopper_backward(missing_barrier_behind_step 128 ${backward}
  "@sync_block();@         // no warp reads these queries" "" "race")
plant_hopper_backward(missing_barrier_before_store 64 ${backward} "@sync_block();@  // no product reads keys" "" "race")
plant_hopper_backward(stores_not_fenced 64 ${backward}
  "@fence_async();@         // what was stored and copied" "" "no fence")
plant_hopper_backward(late_wait_for_copies 64 ${backward} "@copy_async_wait<0>();@  // the next step's tiles"
  "copy_async_wait<1>();" "cp.async")
plant_hopper_backward(weights_read_early 64 ${backward} "@warpgroup_wait<1>();@  // the weights' gradients"
  "warpgroup_wait<2>();" "dk of")
plant_hopper_backward(query_gradients_read_early 128 ${backward}
  "@warpgroup_wait<Tile::kSquares == 1 ? 2 : 1>();@  // the queries' gradients"
  "warpgroup_wait<3>();" "dq of")
plant_hopper_backward(queries_given_back_early 128 ${backward} "@warpgroup_wait<1>();@  // the keys' gradients"
  "warpgroup_wait<2>();" "no fence")
plant_hopper_backward(forgotten_head_of_group 64 ${backward} "(0, kept.tiles.end - kept.tiles.begin) * @plan.group@"
  "(plan.group - 1)" "dv of")
plant_hopper_backward(heads_share_sums 64 ${backward} "kept.sums + @step.head@ * plan.tiles" "0" "dq of")
plant_hopper_backward(second_square_forgotten 256 ${backward}
  "@Group::add_square(dq, 1, sums, step.tile, kept.seen.keys);@" ""
  "dq of")
plant_hopper_backward(numbers_of_absent_rows 64 ${backward} "@first + part * kRows < queries@);" "true" "race")
plant_hopper_backward(sums_of_absent_rows 64 ${group} "@at * Tile::kRows >= rows@" "false" "out of bounds")
plant_hopper_backward(keys_without_scale 64 ${backward} "first_key<Tile>(), dk[0], @f.scale@" "1.0f" "dk of")
plant_hopper_backward(queries_without_scale 64 ${backward} "pack(four[below * 2] * @f.scale@" "1.0f" "dq of")
plant_hopper_backward(both_groups_take_the_same_square 128 ${group}
  "square = @read_warpgroup()@ * Tile::kSquares + index"
  "0" "dq of")
plant_hopper_backward(keys_of_the_first_group 64 ${group} "keys + @group_of_keys<Tile>()@ * 64 * 128" "0" "dv of")
plant_hopper_backward(columns_of_the_first_sharer 256 ${group}
  "tile + @first_segment<Tile>()@ * Tile::kBlockM * 128" "0" "dv of")
plant_hopper_backward(scores_put_by_none 256 ${group}
  "@Tile::kSharers > 1 && read_warpgroup() > 0@" "Tile::kSharers > 1" "written")
plant_hopper_backward(absent_keys_have_weights 64 ${shared}
  "if (first + Tile::kBlockN > seen.queries) @tiles.full_end = tiles.full_begin;@" "" "dq of")
plant_hopper_backward(windows_changed 64 ${shared}
  "seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_right, plan.window_left};"
  "seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_left, plan.window_right};" "dv of")
plant_hopper_backward(last_round_taken_for_a_whole_one 64 ${shared}
  "smaller(plan.together, @f.kv_heads * f.batch - begin@)"
  "plan.together" "out of bounds")
plant_hopper_backward(no_swizzle 64 ${segments} "row * 128 + (@chunk ^ row % 8@) * 16" "chunk" "dv of")
plant_hopper_backward(turn_counted_from_the_first_tile 64 ${shared}
  "return first / Tile::kBlockN - @first_seen / Tile::kBlockN@;" "0" "turn that does not come")
plant_hopper_backward(turn_not_ended 64 ${backward} "if (in_turn && read_place().thread == 0) @end_turn(turns);@" ""
  "turn that does not come")
plant_hopper_backward(turns_not_begun 64 ${folder}/backward_rows.cuh
  "place.thread == 0) @space.turns[place.block_x] = 0;@" ""
  "read before")

# Faults planted in Hopper's forward kernel, as in flash_forward.cmake.
set(hopper kernels/cuda/flash_attention/hopper_forward.cuh)
set(shared kernels/cuda/flash_attention/hopper_shared.cuh)
set(softmax kernels/cuda/flash_attention/hopper_softmax.cuh)
set(params kernels/cuda/flash_attention/hopper_params.h)

plant_hopper(tile_not_waited_for ${shared} "barrier_wait(full(), parity);" "" "still be writing")
plant_hopper(stage_not_waited_for ${shared} "barrier_wait(ring.empty + index, parity ^ 1);" "" "still be writing")
plant_hopper(half_the_bytes_announced ${shared} "barrier_arrive_expecting(full(), @Ring::kBytes@);" "Ring::kBytes / 2"
  "deadlock")
plant_hopper(scores_not_waited_for ${hopper} "warpgroup_wait<1>();" "" "lse of")
plant_hopper(values_given_back_early ${hopper} "weigh(scores, decltype(kind)::kValue);
        @warpgroup_wait<0>();
        keep_registers(out);
        release(v);@" "release(v); warpgroup_wait<0>();" "race")
plant_hopper(queries_overwritten_early ${hopper} "sync_named(1 + Tile::kConsumers + group, 128);" "" "race")
plant_hopper(turn_not_passed ${hopper} "@arrive_named(next_turn, 256);@
        k.wait_full();" "" "deadlock")
plant_hopper(output_not_rescaled ${softmax} "out[n][e] *= before[e / 2];" "" "out of")
plant_hopper(sum_not_rescaled ${softmax} "sum[row] = @sum[row] * before[row] + added@;" "sum[row] + added" "lse of")
plant_hopper(wrong_key_head ${hopper} "kv_head = @place.head / (p.heads / p.kv_heads)@;" "place.head % p.kv_heads"
  "lse of")
plant_hopper(tile_of_group_before ${hopper} "const int begin = @first + group * 64@" "first" "lse of")
plant_hopper(pair_taken_twice ${hopper} "@second ? item.number : mirrored@" "mirrored" "lse has holes")
plant_hopper(documents_not_counted ${hopper} "before_ += count;" "" "lse of")
plant_hopper(packed_rows_from_the_start ${hopper} "const int first = @packed_k ? p.keys - rows.keys : 0@" "0"
  "out of bounds")
plant_hopper(packed_rows_one_late ${params} "(data) - @rows@ * strides.row * 2;" "(rows - 1)" "out of bounds")
plant_hopper(no_swizzle_of_staged_rows ${hopper} "+ @(n % 8 ^ lane / 4)@ * 16" "n % 8" "out of")
plant_hopper(missing_warp_barrier ${hopper} "@sync_warp();@
  auto* to" "" "race")
plant_hopper(missing_fence ${hopper} "fence_async();" "" "no fence")
plant_hopper(warps_multiply_different_keys ${hopper} "Products::score(scores, q.tile() + group * 64 * 128, @k.tile()@);"
  "k.tile() + thread / 64 * 1024" "another product")

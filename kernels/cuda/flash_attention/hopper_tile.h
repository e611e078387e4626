// How much of the problem a block of Hopper's forward kernel holds, by head size.
//
// Registers and shared memory of a whole multiprocessor go to one block. Measured on an H100, of 64 to 192 rows and 96
// to 192 keys: 128 keys are best at head sizes 64 and 128; at 64, where a multiprocessor makes as many exponentials as
// products in the same time, three warpgroups hide them better than two, and above that their registers do not suffice.
#pragma once

namespace powerhouse::cuda {

template <int kHeadDim_>
struct HopperForwardTile {
  static_assert(kHeadDim_ == 64 || kHeadDim_ == 128 || kHeadDim_ == 256);

  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kConsumers = kHeadDim == 64 ? 3 : 2;   // warpgroups of 64 query rows each
  static constexpr int kBlockM = kConsumers * 64;             // query rows
  static constexpr int kBlockN = kHeadDim <= 128 ? 128 : 80;  // keys
  static constexpr int kThreads = (kConsumers + 1) * 128;
  // Of a thread: of the multiprocessor's 65,536 what the copying warpgroup needs, and the rest.
  static constexpr int kProducerRegisters = kConsumers == 2 ? 40 : 32;
  static constexpr int kConsumerRegisters = kConsumers == 2 ? 232 : 160;

  static constexpr int kQueryStages = kHeadDim <= 128 ? 2 : 1;  // tiles of queries in shared memory
  static constexpr int kStages = kHeadDim == 64 ? 3 : 2;        // tiles of keys, and of values
  static constexpr int kSegments = kHeadDim / 64;               // of 64 columns each, in which tiles lie
  static constexpr int kKeySteps = kHeadDim / 16;               // of a product over head_dim
  static constexpr int kScoreColumns = kBlockN / 8;             // fragments of scores in a row
  static constexpr int kOutColumns = kHeadDim / 8;              // fragments of output in a row
  static constexpr int kQueryBytes = kBlockM * kHeadDim * 2;    // of a stage
  static constexpr int kKeyBytes = kBlockN * kHeadDim * 2;      // of a stage of keys, or of values
  static constexpr int kBarriers = 2 * kQueryStages + 4 * kStages;
  static constexpr int kSharedBytes = kQueryStages * kQueryBytes + 2 * kStages * kKeyBytes + kBarriers * 8;
  static_assert(kSharedBytes <= 227 << 10);
};

}  // namespace powerhouse::cuda

// Sizes of the products of few rows with dense weights: constants, without CUDA, so that limits on machine code are
// computed from them too.
#pragma once

namespace powerhouse::cuda {

inline constexpr int kFewRowsOutputs = 16;  // of a tile
inline constexpr int kFewRowsStep = 32;     // inputs that four lanes read at once
inline constexpr int kFewRowsWarps = 16;
inline constexpr int kFewRowsColumn = 20;  // floats between a row's sums: lanes meet other banks

/// What x is multiplied as: as it is, normed, or normed by gate and up.
enum class FewRowsKind : int { plain, normed, gated };

/// What a block keeps in shared memory: copies of its warps, squares of rows, sums of a tile, twice, and normed rows.
template <int kRowTiles, FewRowsKind kKind>
struct FewRowsShape {
  static constexpr bool kNormed = kKind != FewRowsKind::plain;
  static constexpr int kWeights = kKind == FewRowsKind::gated ? 2 : 1, kStages = kWeights == 2 ? 3 : 4;
  static constexpr int kWeightBytes = kWeights * 1024, kStepBytes = kWeightBytes + (kNormed ? 0 : kRowTiles * 512);
  static constexpr int kRingBytes = kStages * kStepBytes;  // of a warp
  static constexpr int kSquares = kNormed ? kFewRowsWarps * 8 * kRowTiles : 0;
  static constexpr int kSumsAt = kFewRowsWarps * kRingBytes + kSquares * 4;
  static constexpr int kSumsOfRow = kFewRowsWarps * kWeights * kFewRowsColumn;  // floats
  static constexpr int kThreads = kFewRowsWarps * 32;
  /// With all rows; normed ones are as long as the inputs and come on top.
  static constexpr int kSharedBytes = kSumsAt + 2 * 4 * kSumsOfRow * 8 * kRowTiles;
};

}  // namespace powerhouse::cuda

#include "ops/panel_packer.h"

#include <algorithm>

#include "support/thread_team.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kPiece = 4;  // panels that a thread takes at once

}  // namespace

void PanelPacker::add(std::int64_t panels, std::function<void(std::int64_t)> pack, std::function<void()> done) {
  if (panels == 0) return done();
  Work& work = work_.emplace_back();
  work.first_piece = pieces_;
  work.panels = panels;
  work.pack = std::move(pack);
  work.done = std::move(done);
  work.panels_left = panels;
  pieces_ += (panels + kPiece - 1) / kPiece;
}

void PanelPacker::run() {
  claim_items(pieces_, [&](const auto& claim) {
    for (std::int64_t piece = claim(); piece < pieces_; piece = claim()) run_piece(piece);
  });
  work_.clear();
  pieces_ = 0;
}

void PanelPacker::run_piece(std::int64_t piece) {
  const auto behind = std::upper_bound(work_.begin(), work_.end(), piece,
                                       [](std::int64_t at, const Work& work) { return at < work.first_piece; });
  Work& work = *std::prev(behind);
  const std::int64_t begin = (piece - work.first_piece) * kPiece;
  const std::int64_t end = std::min(begin + kPiece, work.panels);
  for (std::int64_t panel = begin; panel < end; ++panel) work.pack(panel);
  if (work.panels_left.fetch_sub(end - begin) == end - begin) work.done();
}

}  // namespace powerhouse

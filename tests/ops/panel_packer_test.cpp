// PanelPacker: every panel once, and what comes after a matrix after its last panel, whatever the number of threads.
#include "ops/panel_packer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "support/thread_team.h"

namespace powerhouse {
namespace {

TEST(PanelPacker, PacksEveryPanelOnce) {
  const int before = team_threads();
  for (const int threads : {1, 2, 3}) {
    set_team_threads(threads);
    PanelPacker packer;
    const std::int64_t sizes[] = {1, 4, 0, 5, 1000, 3};
    std::vector<std::vector<int>> packed;
    std::vector<int> done(std::size(sizes), 0);
    std::vector<char> whole(std::size(sizes), 0);
    for (const std::int64_t size : sizes) packed.emplace_back(static_cast<std::size_t>(size), 0);
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      packer.add(
          sizes[i], [&, i](std::int64_t panel) { ++packed[i][static_cast<std::size_t>(panel)]; },
          [&, i] {
            ++done[i];
            whole[i] = packed[i] == std::vector<int>(packed[i].size(), 1);
          });
    }
    packer.run();
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      EXPECT_EQ(packed[i], std::vector<int>(packed[i].size(), 1)) << i;
      EXPECT_EQ(done[i], 1) << i;
      EXPECT_TRUE(whole[i]) << i;
    }
    packer.run();  // nothing is left
    EXPECT_EQ(done[0], 1);
  }
  set_team_threads(before);
}

TEST(PanelPacker, PassesOnWhatPackingThrows) {
  PanelPacker packer;
  packer.add(
      100,
      [](std::int64_t panel) {
        if (panel == 50) throw std::runtime_error("no memory");
      },
      [] {});
  EXPECT_THROW(packer.run(), std::runtime_error);
}

TEST(PanelPacker, HandsOutRoomOfItsOwn) {
  PanelPacker packer;
  const auto first = packer.take(100, "first");
  const auto second = packer.take(100, "second");
  std::memset(first.get(), 1, 100);
  std::memset(second.get(), 2, 100);
  EXPECT_EQ(static_cast<const char*>(first.get())[99], 1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.get()) % 64, 0u);
}

}  // namespace
}  // namespace powerhouse

#include <gtest/gtest.h>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/utf8.h"

namespace powerhouse {
namespace {

TEST(Error, TellsEverythingInOneLine) {
  const Error error(ErrorKind::format, "wrong shape",
                    {.file = "m.gguf", .field = "blk.0.attn_q.weight", .expected = "[4, 8]", .found = "[8, 4]"});
  EXPECT_STREQ(error.what(), "m.gguf: blk.0.attn_q.weight: wrong shape (expected [4, 8], found [8, 4])");
  EXPECT_EQ(error.kind(), ErrorKind::format);
  EXPECT_EQ(error.field(), "blk.0.attn_q.weight");
}

TEST(Error, KeepsHostileTextOnOneLine) {
  const Error error(ErrorKind::format, "bad", {.field = std::string("a\nb\x01") + std::string(10000, 'x')});
  const std::string_view what = error.what();
  EXPECT_EQ(what.find('\n'), std::string_view::npos);
  EXPECT_EQ(what.find('\x01'), std::string_view::npos);
  EXPECT_LT(what.size(), 1000u);
}

TEST(Error, CutsLongTextBetweenCharacters) {
  for (std::size_t before = 396; before < 401; ++before) {
    const Error error(ErrorKind::format, std::string(before, 'x') + "\xF0\x9F\x8D\x87 and more", {});
    EXPECT_EQ(find_invalid_utf8(error.what()), std::nullopt) << before;
  }
}

TEST(Error, FillsInTheFileOnlyWhereItIsMissing) {
  const Error bare(ErrorKind::format, "bad", {.field = "x"});
  EXPECT_EQ(bare.in_file("f").file(), "f");
  EXPECT_EQ(bare.in_file("f").in_file("g").file(), "f");
}

TEST(Log, GoesToTheSinkThatWasSet) {
  std::string seen;
  set_log_sink([&](LogLevel level, std::string_view text) {
    seen = (level == LogLevel::warning ? "W " : "I ") + std::string(text);
  });
  log(LogLevel::warning, "careful");
  set_log_sink({});
  log(LogLevel::info, "unheard");
  EXPECT_EQ(seen, "W careful");
}

}  // namespace
}  // namespace powerhouse

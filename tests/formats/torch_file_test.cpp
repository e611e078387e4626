// pytorch_model.bin: files that torch.save wrote (tests/oracles/torch_files.py), and hostile ones.
#include "formats/torch_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "expect_error.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

using testing::expect_error;

std::string fixture(const std::string& name) { return std::string(POWERHOUSE_FIXTURES) + "/formats/torch/" + name; }

class TorchFile : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchFile, HoldsWhatTorchSaved) {
  std::map<std::string, TensorView> expected;
  for (const TensorView& view : read_safetensors(fixture(std::string(GetParam()) + ".safetensors")).tensors) {
    expected.emplace(view.name, view);
  }
  const std::vector<TensorView> tensors = read_torch_file(fixture(std::string(GetParam()) + ".bin"));
  ASSERT_EQ(tensors.size(), expected.size());
  for (const TensorView& view : tensors) {
    SCOPED_TRACE(view.name);
    const TensorView& want = expected.at(view.name);
    EXPECT_EQ(view.format, want.format);
    EXPECT_EQ(view.shape, want.shape);
    ASSERT_EQ(view.bytes, want.bytes);
    EXPECT_TRUE(view.bytes == 0 || std::memcmp(view.data, want.data, want.bytes) == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Saved, TorchFile,
                         ::testing::Values("dtypes", "views", "state_dict", "parameters", "protocol4", "protocol5"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TorchFiles, ContiguousTensorsStayInTheFile) {
  for (const TensorView& view : read_torch_file(fixture("views.bin"))) {
    const bool in_place = view.name == "whole" || view.name == "rows" || view.name == "same";
    EXPECT_EQ(view.bytes == view.file->size(), !in_place) << view.name;
  }
}

struct Bad {
  const char* name;
  ErrorKind kind;
  const char* says;
};

class BadTorchFile : public ::testing::TestWithParam<Bad> {};

TEST_P(BadTorchFile, IsAnError) {
  const std::string path = fixture("bad_" + std::string(GetParam().name) + ".bin");
  expect_error(GetParam().kind, GetParam().says, [&] { read_torch_file(path); });
}

constexpr Bad kBad[] = {
    {"legacy", ErrorKind::unsupported, "before 1.6"},
    {"nested", ErrorKind::format, "model"},
    {"number", ErrorKind::format, "step"},
    {"list", ErrorKind::format, "dict of tensors"},
    {"expanded", ErrorKind::format, "repeats elements"},
    {"sparse", ErrorKind::unsupported, "_rebuild_sparse_tensor"},
    {"system", ErrorKind::unsupported, "posix.system"},
    {"eval", ErrorKind::unsupported, "builtins.eval"},
    {"object", ErrorKind::unsupported, "pathlib.PurePosixPath"},
    {"empty", ErrorKind::format, "ends too early"},
    {"memo", ErrorKind::format, "has not kept"},
    {"mark", ErrorKind::format, "no mark"},
    {"stack", ErrorKind::format, "where there is none"},
    {"compressed", ErrorKind::unsupported, "compressed"},
    {"storage", ErrorKind::format, "storage is missing"},
    {"short", ErrorKind::format, "another size"},
    {"order", ErrorKind::unsupported, "byteorder"},
    {"offset", ErrorKind::format, "past the end of its storage"},
    {"pickle", ErrorKind::format, "ends too early"},
    {"cut", ErrorKind::format, "not a ZIP file"},
};
INSTANTIATE_TEST_SUITE_P(Files, BadTorchFile, ::testing::ValuesIn(kBad),
                         [](const auto& info) { return std::string(info.param.name); });

std::vector<std::pair<std::string, PickledTensor>> unpickle(const std::string& text) {
  return read_pickled_tensors(std::as_bytes(std::span(text)), "data.pkl");
}

TEST(Pickle, NestsAndSharesWithoutEndInBoundedTimeAndMemory) {
  expect_error(ErrorKind::format, "dict of tensors", [] { unpickle("\x80\x02)" + std::string(500000, '\x85') + "."); });
  expect_error(ErrorKind::format, "too many values", [] { unpickle("\x80\x02" + std::string(5 << 20, 'N') + "."); });
  // A list that holds itself.
  expect_error(ErrorKind::format, "dict of tensors", [] {
    unpickle(
        std::string("\x80\x02]q\x00h\x00"
                    "a.",
                    9));
  });
}

TEST(Pickle, RefusesOpcodesThatBuildOtherThings) {
  for (const char opcode : {'i', 'o', '\x81', '\x92', '\x82', '\x97', 'P'}) {
    expect_error(ErrorKind::unsupported, "opcode", [&] { unpickle(std::string("\x80\x02") + opcode + "."); });
  }
}

}  // namespace
}  // namespace powerhouse

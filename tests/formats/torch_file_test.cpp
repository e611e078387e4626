// pytorch_model.bin: files that torch.save wrote (tests/oracles/torch_files.py), and hostile ones.
#include "formats/torch_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <map>

#include "expect_error.h"
#include "formats/format_fixture.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"
#include "powerhouse/error.h"
#include "repeated.h"

namespace powerhouse {
namespace {

using namespace std::string_literals;
using testing::expect_error;
using testing::repeated;

std::string torch_fixture(const std::string& name) { return testing::format_fixture("torch/" + name); }

class TorchFile : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchFile, HoldsWhatTorchSaved) {
  std::map<std::string, TensorView> expected;
  for (const TensorView& view : read_safetensors(torch_fixture(std::string(GetParam()) + ".safetensors")).tensors) {
    expected.emplace(view.name, view);
  }
  const std::vector<TensorView> tensors = read_torch_file(torch_fixture(std::string(GetParam()) + ".bin"));
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
                         ::testing::Values("dtypes", "views", "state_dict", "parameters", "protocol4", "protocol5",
                                           "expanded", "zip64"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TorchFiles, ContiguousTensorsStayInTheFile) {
  for (const TensorView& view : read_torch_file(torch_fixture("views.bin"))) {
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
  const std::string path = torch_fixture("bad_" + std::string(GetParam().name) + ".bin");
  expect_error(GetParam().kind, GetParam().says, [&] { read_torch_file(path); });
}

constexpr Bad kBad[] = {
    {"legacy", ErrorKind::unsupported, "before 1.6"},
    {"nested", ErrorKind::format, "model"},
    {"number", ErrorKind::format, "step"},
    {"list", ErrorKind::format, "dict of tensors"},
    {"expanded", ErrorKind::format, "too often"},
    {"negative", ErrorKind::unsupported, "found neg"},
    {"dimensions", ErrorKind::format, "too many dimensions"},
    {"inst", ErrorKind::unsupported, "os.system"},
    {"new", ErrorKind::unsupported, "subprocess.Popen"},
    {"overlap", ErrorKind::format, "overlap"},
    {"twice", ErrorKind::format, "stands twice"},
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

std::string text_value(const std::string& text) {
  std::string out = "X";
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((text.size() >> shift) & 0xFF);
  return out + text;
}

// What is made once and named again and again must cost no more than what names it. Each "\x94" keeps the value on top,
// "0" drops it, and h0, h1 ... name the first kept, the second ...
TEST(Pickle, BigPartsNamedOftenStayCheap) {
  const std::string start = "\x80\x02", big(1 << 20, 'x'), many = repeated("K\x01", 1 << 19);
  const std::string storage = "(" + text_value("storage") + "ctorch\nFloatStorage\n";
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + text_value("0") + text_value("cpu") +
                             "K\x01tQK\0(K\x01t(K\x01t\x89NtR"s;
  // A call with half a million arguments, a quarter of a million times.
  EXPECT_EQ(unpickle(start + "ctorch._utils\n_rebuild_parameter\n\x94" + "0(" + tensor + many + "t\x94" + "0" +
                     repeated("h\0h\1R0"s, 1 << 18) + "}" + text_value("w") + "h\0h\1Rs."s)
                .size(),
            1u);
  // A storage with a long key, and a long name for each of many entries.
  expect_error(ErrorKind::format, "key of a storage",
               [&] { unpickle(start + storage + text_value(big) + "NK\x01t\x94" + repeated("h\0Q"s, 1 << 19) + "."); });
  expect_error(ErrorKind::format, "stands twice", [&] {
    unpickle(start + text_value(big) + "\x94" + "0" + tensor + "\x94" + "0}(" + repeated("h\0h\1"s, 1 << 15) + "u.");
  });
  for (const std::string& endless : {std::string("("), std::string("\x94"), "h\0"s}) {
    expect_error(ErrorKind::format, "too many values",
                 [&] { unpickle(start + "N\x94" + repeated(endless, 5 << 20) + "."); });
  }
}

// Places of the memo that fall together in a table of libstdc++: 15 s before the memo was ordered.
TEST(Pickle, ChosenMemoKeysCostNoMore) {
  constexpr std::uint32_t kBuckets = 85229;
  const auto with_place = [](char opcode, std::uint32_t place) {
    std::string out(1, opcode);
    out.append(reinterpret_cast<const char*>(&place), sizeof place);
    return out;
  };
  std::string text = "\x80\x02N";
  for (std::uint32_t i = 1; i < 42045; ++i) text += with_place('r', i);
  for (std::uint32_t i = 1; i <= 43183; ++i) text += with_place('r', i * kBuckets);
  const std::string look = with_place('j', kBuckets) + "0";
  for (int i = 0; i < 160000; ++i) text += look;
  const std::clock_t begin = std::clock();  // the processor's time: other programs must not make the test fail
  expect_error(ErrorKind::format, "dict of tensors", [&] { unpickle(text + "."); });
  EXPECT_LT(std::clock() - begin, 5 * CLOCKS_PER_SEC);
}

TEST(Pickle, RefusesOpcodesThatBuildOtherThings) {
  const std::pair<char, const char*> opcodes[] = {{'o', "OBJ"},     {'\x81', "NEWOBJ"},      {'\x92', "NEWOBJ_EX"},
                                                  {'\x82', "EXT1"}, {'\x97', "NEXT_BUFFER"}, {'P', "PERSID"},
                                                  {'\xff', "255"}};
  for (const auto& [opcode, name] : opcodes) {
    expect_error(ErrorKind::unsupported, name, [&] { unpickle(std::string("\x80\x02") + opcode + "."); });
  }
}

}  // namespace
}  // namespace powerhouse

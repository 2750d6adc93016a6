#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "experiments/hf/safetensors.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

// The bytes of a file with this header (its length in front) and `data` zeros after it.
std::string file_of(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

std::string refusal_of(const std::string& bytes) {
  const ScratchFolder folder;
  write_file(folder / "x.safetensors", bytes);
  return refusal([&] { Safetensors::open_file(folder / "x.safetensors"); });
}

// A refusal is one line, names the file and says `part`.
void expect_refused(const std::string& bytes, const std::string& part) {
  const std::string message = refusal_of(bytes);
  EXPECT_NE(message.find("x.safetensors: "), std::string::npos) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nwanted: " << part;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

// A sound file of three tensors, and its bytes.
std::string sound_file() {
  const ScratchFolder folder;
  const Tensor a = random_tensor({3, 5}, 1), b = random_tensor({4}, 2), c = random_tensor({}, 3);
  write_safetensors(folder / "x", {{"a", a}, {"b", b}, {"c", c}});
  return read_file(folder / "x");
}

TEST(Safetensors, WritesWhatItReads) {
  const ScratchFolder folder;
  const Tensor a = random_tensor({3, 5}, 1), b = random_tensor({4}, 2), empty(Shape{0, 7});
  write_safetensors(folder / "x", {{"b", b}, {"a", a}, {"none", empty}});
  const Safetensors file = Safetensors::open_file(folder / "x");
  EXPECT_EQ(file.entries().size(), 3u);
  EXPECT_EQ(file.entry("a").begin % 8, 0u);
  for (const auto& [name, want] : {std::pair{"a", &a}, std::pair{"b", &b}}) {
    Tensor got = poisoned_tensor(want->shape());
    file.read(name, got);
    EXPECT_EQ(bits_differ(got, *want), "");
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "x.tmp"));
}

TEST(Safetensors, WidensHalvesExactly) {
  // Every 16-bit pattern: zeros, subnormals, infinities and NaNs among them.
  constexpr std::int64_t kPatterns = 65536;
  std::string data(2 * kPatterns, '\0');
  for (std::uint32_t bits = 0; bits < kPatterns; ++bits) {
    const auto u = static_cast<std::uint16_t>(bits);
    std::memcpy(data.data() + 2 * bits, &u, 2);
  }
  const ScratchFolder folder;
  write_file(folder / "x",
             file_of(R"({"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]},)"
                     R"("b":{"dtype":"BF16","shape":[65536],"data_offsets":[131072,262144]}})",
                     0) +
                 data + data);
  const Safetensors file = Safetensors::open_file(folder / "x");
  Tensor h = poisoned_tensor({kPatterns}), b = poisoned_tensor({kPatterns});
  file.read("h", h);
  file.read("b", b);
  for (std::uint32_t bits = 0; bits < kPatterns; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31u);
    const double mantissa = bits & 1023u;
    double want =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) want = mantissa == 0 ? INFINITY : NAN;
    if ((bits & 0x8000u) != 0) want = -want;
    const double got = h.data<float>()[bits];
    ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == want) << bits;
    ASSERT_EQ(std::signbit(got), (bits & 0x8000u) != 0) << bits;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(b.data<float>()[bits]), bits << 16);
  }
}

TEST(Safetensors, RefusesEveryTruncation) {
  const std::string bytes = sound_file();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string message = refusal_of(bytes.substr(0, n));
    ASSERT_NE(message.find("damaged"), std::string::npos) << n << ": " << message;
    ASSERT_EQ(message.find('\n'), std::string::npos) << n << ": " << message;
  }
  expect_refused(bytes + "x", "the last 1 bytes belong to no tensor");
}

// A changed header byte may still be a sound header of other names; it must never be a crash, a
// second line, or a tensor outside the file.
TEST(Safetensors, SurvivesEveryFlippedHeaderByte) {
  const std::string bytes = sound_file();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const ScratchFolder folder;
  int refused = 0, read = 0;
  for (std::size_t at = 0; at < 8 + length; ++at) {
    for (const int flip : {0x01, 0x20, 0x80}) {
      std::string bad = bytes;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      write_file(folder / "x", bad);
      try {
        const Safetensors file = Safetensors::open_file(folder / "x");
        for (const auto& [name, entry] : file.entries()) {
          ASSERT_LE(entry.begin + entry.bytes, bad.size());
        }
        ++read;
      } catch (const InputError& e) {
        ASSERT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_GT(read, 10);  // another letter in a name, for example
}

TEST(Safetensors, RefusesRangesThatLie) {
  const auto one = [](const std::string& rest) { return file_of("{\"a\":{" + rest + "}}", 16); };
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,17])"), "bytes [0, 17) of 16");
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[8,4])"), "bytes [8, 4)");
  expect_refused(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,16])"), "16 bytes where F32");
  expect_refused(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,12])"), "last 4 bytes");
  expect_refused(one(R"("dtype":"F32","shape":[3],"data_offsets":[4,16])"), "4 bytes before it");
  expect_refused(one(R"("dtype":"F32","shape":[-4],"data_offsets":[0,16])"), "whole numbers");
  expect_refused(one(R"("dtype":"F32","shape":[4.0],"data_offsets":[0,16])"), "whole numbers");
  expect_refused(one(R"("dtype":"F32","shape":[4611686018427387904,4611686018427387904],)"
                     R"("data_offsets":[0,16])"),
                 "2^64");
  // 2^61 * 8 * 4 bytes wraps to 0 without a check.
  expect_refused(one(R"("dtype":"F32","shape":[2305843009213693952,8],"data_offsets":[0,0])"),
                 "2^64");
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615])"),
                 "whole numbers");
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,99999999999999999999])"),
                 "whole numbers");
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,1e999])"), "out of range");
  expect_refused(one(R"("dtype":"F31","shape":[4],"data_offsets":[0,16])"), "\"F31\" is not known");
  expect_refused(one(R"("dtype":32,"shape":[4],"data_offsets":[0,16])"), "wanted dtype");
  expect_refused(one(R"("dtype":"F32","shape":[4],"data_offsets":[0])"), "wanted 2");
  expect_refused(one(R"("dtype":"F32","shape":4,"data_offsets":[0,16])"), "whole numbers");
}

TEST(Safetensors, RefusesTensorsThatShareOrLeaveBytes) {
  const auto two = [](const std::string& a, const std::string& b) {
    return file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
                       R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}",
                   24);
  };
  expect_refused(two("[0,8]", "[4,12]"), "tensor \"b\": overlaps");
  expect_refused(two("[0,8]", "[0,8]"), "tensor \"b\": overlaps");
  expect_refused(two("[0,8]", "[16,24]"), "tensor \"b\": 8 bytes before it belong to no tensor");
  expect_refused(two("[0,8]", "[8,16]"), "the last 8 bytes");
}

TEST(Safetensors, RefusesHeadersThatAreNot) {
  expect_refused("", "0 bytes are too few");
  expect_refused(std::string(8, '\xff'), "a header of 18446744073709551615 bytes");
  expect_refused(file_of("[]", 0), "does not start with '{'");
  expect_refused(file_of(" {}", 0), "does not start with '{'");
  expect_refused(file_of("{} x", 0), "not valid JSON");
  expect_refused(file_of("{\"\xff\":1}", 0), "not valid JSON");
  expect_refused(file_of("{\"a\":" + std::string(100000, '['), 0), "nested");
  expect_refused(file_of(R"({"__metadata__":{"format":1}})", 0), "texts to texts");
  expect_refused(file_of(R"({"a\nb":3})", 0), "tensor \"a\\nb\"");
  const std::string info = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  expect_refused(file_of("{\"a\":" + info + ",\"a\":" + info + "}", 4), "stands there twice");
}

TEST(Safetensors, RefusesToReadAsSomethingElse) {
  const ScratchFolder folder;
  write_file(folder / "x",
             file_of(R"({"a":{"dtype":"I32","shape":[4],"data_offsets":[0,16]}})", 16));
  const Safetensors file = Safetensors::open_file(folder / "x");
  Tensor four(Shape{4}), two_by_two(Shape{2, 2});
  EXPECT_NE(refusal([&] { file.read("a", four); }).find("dtype I32"), std::string::npos);
  EXPECT_NE(refusal([&] { file.read("a", two_by_two); }).find("shape (4); wanted (2, 2)"),
            std::string::npos);
  EXPECT_NE(refusal([&] { file.read("b", four); }).find("holds no tensor \"b\""),
            std::string::npos);
}

class Shards : public ::testing::Test {
 protected:
  Shards() {
    write_safetensors(folder / "model-00001-of-00002.safetensors", {{"a", a}});
    write_safetensors(folder / "model-00002-of-00002.safetensors", {{"b", b}});
  }
  std::string refusal_with(const std::string& index) {
    write_file(folder / "model.safetensors.index.json", index);
    return refusal([&] { Safetensors::open_folder(folder.path()); });
  }
  const ScratchFolder folder;
  const Tensor a = random_tensor({3}, 1), b = random_tensor({4}, 2);
};

TEST_F(Shards, AreReadAsOne) {
  write_file(folder / "model.safetensors.index.json",
             R"({"metadata":{"total_size":28},"weight_map":{)"
             R"("a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  const Safetensors all = Safetensors::open_folder(folder.path());
  Tensor got = poisoned_tensor({4});
  all.read("b", got);
  EXPECT_EQ(bits_differ(got, b), "");
}

TEST_F(Shards, AreRefusedWhenTheIndexLies) {
  EXPECT_NE(refusal_with(R"({"weight_map":{"a":"../model-00001-of-00002.safetensors"}})")
                .find("wanted the plain name"),
            std::string::npos);
  EXPECT_NE(refusal_with(R"({"weight_map":{"a":"gone.safetensors"}})").find("no such file"),
            std::string::npos);
  EXPECT_NE(refusal_with(R"({"weight_map":{"a":"model-00002-of-00002.safetensors"}})")
                .find("holds no tensor \"a\""),
            std::string::npos);
  EXPECT_NE(refusal_with(R"({"weight_map":{"a":7}})").find("names to file names"),
            std::string::npos);
  EXPECT_NE(refusal_with(R"({"weight_map":[]})").find("'weight_map'"), std::string::npos);
  EXPECT_NE(refusal_with(R"({"weight_map":)").find("not valid JSON"), std::string::npos);
  write_safetensors(folder / "model-00001-of-00002.safetensors", {{"a", a}, {"extra", b}});
  EXPECT_NE(refusal_with(R"({"weight_map":{"a":"model-00001-of-00002.safetensors"}})")
                .find("tensor \"extra\" is not the index's"),
            std::string::npos);
  const ScratchFolder empty;
  EXPECT_NE(refusal([&] { Safetensors::open_folder(empty.path()); }).find("holds neither"),
            std::string::npos);
}

}  // namespace
}  // namespace mixspan::test

// Configurations from people who mean harm, and from broken disks.
#include <gtest/gtest.h>

#include "core/config.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/text.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

struct Sample {
  std::string device = "cpu";
  std::int64_t layers = 6;
  double lr = 3e-4;
  std::vector<std::string> spans = {"full"};
  std::string data = "x";
};

ConfigSchema schema_of(Sample& s) {
  ConfigSchema schema;
  schema.field("device", &s.device, "", {.one_of = {"cpu", "cuda"}});
  schema.section("model", "");
  schema.field("layers", &s.layers, "", {.min = 1, .max = 100});
  schema.field("spans", &s.spans, "");
  schema.section("train", "");
  schema.field("lr", &s.lr, "", {.above = 0});
  schema.field("data", &s.data, "");
  return schema;
}

Sample read(const std::string& text) {
  Sample s;
  schema_of(s).read_text(text, "a.toml");
  return s;
}
std::string refused(const std::string& text) {
  return test::refusal([&] { read(text); });
}

/// No input may crash, hang or give more than one line; most must be refused.
void survives(const std::string& text) {
  std::string message;
  try {
    read(text);
  } catch (const InputError& error) {
    message = error.what();
  }
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 600u) << message;
  EXPECT_TRUE(is_utf8(message));
}

TEST(HostileConfig, SurvivesHostileText) {
  const auto repeat = [](const std::string& part, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += part;
    return text;
  };
  EXPECT_EQ(refused("[model]\n" + repeat("a.", 400'000) + "b = 1"),
            "a.toml:2: a key of more than 32 parts");
  EXPECT_EQ(refused("[" + repeat("a.", 400'000) + "b]"), "a.toml:1: a key of more than 32 parts");
  EXPECT_EQ(refused("x = {b=\"\"\"x\"\"\"\", " + repeat("a.", 400'000) + "b = 1}"),
            "a.toml:1: a key of more than 32 parts");
  EXPECT_EQ(refused("x = \"\\\\\" # \"\n" + repeat("a . ", 200'000) + "b = 1"),
            "a.toml:2: a key of more than 32 parts");
  EXPECT_EQ(refused("x = 99999999999999999999"),
            "a.toml:1: not TOML: '99999999999999999999' is not representable in 64 bits");
  EXPECT_EQ(refused("x = \"\xff\""), "a.toml:1: not TOML: Encountered invalid utf-8 sequence");
  // Many dots are no harm where they are no key.
  EXPECT_EQ(read("[train]\ndata = \"" + repeat("../", 200) + "\" # " + repeat("a.", 200)).data,
            repeat("../", 200));
  EXPECT_EQ(refused("device = [" + repeat("0.5, ", 200) + "]").find("a.toml:1: device: wanted"),
            0u);
  for (const char* part : {"[", "{a=", "[[", "\"", "'''", "\\", "a.", "-", "9", "\xff", "[a]\n"}) {
    survives("x = " + repeat(part, 100'000));
    survives(repeat(part, 100'000));
  }
  survives(std::string("a\0b = 1", 7));
  survives(std::string("[model]\nlayers = \0", 18));
  survives("[train]\ndata = \"" + repeat("\\u0000", 1000) + "\"");
  survives("\"a\\nb\" = 1");
  survives(repeat("x", 100'000) + " = 1");
  survives("[train]\nlr = 1e999999999");
  survives("[train]\nlr = 0x" + repeat("f", 1000));
}

TEST(HostileConfig, SurvivesRandomEdits) {
  Sample s;
  const std::string base = "# x\n[train.x]\nd = 1979-05-27T07:32:00Z\n" + schema_of(s).to_toml();
  const std::string bytes = "\"'[]{}=.,#\n\\ \t0a-\xff\xc3";
  const RandomStream random(7, "edits");
  for (std::uint64_t i = 0; i < 6'000; ++i) {
    std::string text = base;
    for (std::uint64_t k = 0; k < 1 + i % 4; ++k) {
      const std::uint64_t r = random.bits(4 * i + k);
      const std::size_t at = r % text.size();
      const char byte = bytes[(r >> 32) % bytes.size()];
      if ((r >> 62) == 0) {
        text.erase(at, 1 + (r >> 40) % 8);
      } else {
        text.insert(at, 1, byte);
      }
    }
    survives(text);
    ASSERT_FALSE(HasFailure()) << text;
  }
}

}  // namespace
}  // namespace mixspan

// Configurations: what is read, what is refused and in which words, and what is written.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "core/config.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/text.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using test::refusal;

struct Sample {
  std::string device = "cpu";
  std::int64_t layers = 6;
  double lr = 3e-4;
  bool bias = false;
  std::vector<std::string> spans;
  std::string data;
  std::string even = "ab";
  friend bool operator==(const Sample&, const Sample&) = default;
};

ConfigSchema schema_of(Sample& s) {
  ConfigSchema schema;
  schema.field("device", &s.device, "Where.", {.one_of = {"cpu", "cuda"}});
  schema.section("model", "What.");
  schema.field("layers", &s.layers, "Blocks.", {.min = 1, .max = 100});
  schema.field("bias", &s.bias, "Or a | b.");
  schema.field("spans", &s.spans, "Spans.");
  schema.section("train", "How.");
  schema.field("lr", &s.lr, "Rate.", {.above = 0, .below = 1});
  schema.field("data", &s.data, "Corpus.", {.required = true, .example = "\"corpus.h5\""});
  schema.field("even", &s.even, "Even.", {.check = [](const ConfigValue& v) {
                 const auto& text = std::get<std::string>(v);
                 require(text != "throw", "even: not this one");
                 return text.size() % 2 == 0 ? "" : "wanted an even length, got " + text;
               }});
  return schema;
}

Sample read(const std::string& text) {
  Sample s;
  schema_of(s).read_text(text, "a.toml");
  return s;
}
std::string refused(const std::string& text) {
  return refusal([&] { read(text); });
}
Sample set(const std::string& assignment) {
  Sample s;
  schema_of(s).set(assignment);
  return s;
}
std::string set_refused(const std::string& assignment) {
  return refusal([&] { set(assignment); });
}

TEST(Config, ReadsWhatIsGivenAndKeepsTheRest) {
  const Sample s = read(
      "device = \"cuda\"\n[train]\nlr = 0.5\n#comment\n"
      "data = 'C:\\x'\n[model]\nspans = [\"full\",\n 'sliding:8']\n"
      "bias = true\nlayers = 1_0\n");
  EXPECT_EQ(s.device, "cuda");
  EXPECT_EQ(s.layers, 10);
  EXPECT_EQ(s.lr, 0.5);
  EXPECT_TRUE(s.bias);
  EXPECT_EQ(s.spans, (std::vector<std::string>{"full", "sliding:8"}));
  EXPECT_EQ(s.data, "C:\\x");
  EXPECT_EQ(s.even, "ab");
  EXPECT_EQ(read(""), Sample{});
  EXPECT_EQ(read("model.layers = 7").layers, 7);
  EXPECT_EQ(read("model = {layers = 7}").layers, 7);
  EXPECT_EQ(read("\xef\xbb\xbf[model]\r\nlayers = 7\r\n").layers, 7);
}

TEST(Config, BoundsAreAllowed) {
  EXPECT_EQ(read("model.layers = 1").layers, 1);
  EXPECT_EQ(read("model.layers = 100").layers, 100);
}

TEST(Config, WholeNumbersAreNumbers) {
  Sample s;
  ConfigSchema schema;
  schema.field("x", &s.lr, "");
  schema.read_text("x = 3", "a.toml");
  EXPECT_EQ(s.lr, 3.0);
  for (const std::string number : {"inf", "-inf", "nan"}) {
    EXPECT_EQ(refusal([&] { schema.read_text("x = " + number, "a.toml"); }),
              "a.toml:1: x: wanted a finite number, got " + number);
  }
}

TEST(Config, NamesTheNearestKeyOrSection) {
  EXPECT_EQ(refused("[model]\n\nlayrs = 3"),
            "a.toml:3: model.layrs: unknown key; did you mean model.layers?");
  EXPECT_EQ(refused("[model]\nlr = 3"), "a.toml:2: model.lr: unknown key; did you mean train.lr?");
  EXPECT_EQ(refused("layers = 3"), "a.toml:1: layers: unknown key; did you mean model.layers?");
  EXPECT_EQ(refused("divice = 3"), "a.toml:1: divice: unknown key; did you mean device?");
  EXPECT_EQ(refused("[model]\nfoobar = 3"),
            "a.toml:2: model.foobar: unknown key; [model] has layers, bias, spans");
  EXPECT_EQ(refused("foobar = 3"),
            "a.toml:1: foobar: unknown key; outside a section: device; the sections are [model], "
            "[train]");
  EXPECT_EQ(refused("[modle]\nlayers = 3"),
            "a.toml:1: modle: unknown section; did you mean [model]?");
  EXPECT_EQ(refused("[other]\nlayers = 3"),
            "a.toml:1: other: unknown section; the sections are [model], [train]");
  EXPECT_EQ(refused("[model.sub]\nlayers = 3"),
            "a.toml:1: model.sub: unknown key; [model] has layers, bias, spans");
  EXPECT_EQ(refused("[[modle]]\nlayers = 3"),
            "a.toml:1: modle: unknown section; did you mean [model]?");
  EXPECT_EQ(refused("[model]\n\"lay ers\" = 3"),
            "a.toml:2: model.\"lay ers\": unknown key; did you mean model.layers?");
}

TEST(Config, NamesWantedAndGot) {
  EXPECT_EQ(refused("[model]\nlayers = \"many\""),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got \"many\"");
  EXPECT_EQ(refused("[model]\nlayers = 0"),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got 0");
  EXPECT_EQ(refused("[model]\nlayers = 101"),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got 101");
  EXPECT_EQ(refused("[model]\nlayers = 3.0"),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got 3.0");
  EXPECT_EQ(refused("[model]\nlayers = [3]"),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got [ 3 ]");
  EXPECT_EQ(refused("[model]\nlayers = 2001-01-01"),
            "a.toml:2: model.layers: wanted a whole number from 1 to 100, got 2001-01-01");
  EXPECT_EQ(refused("[model.layers]\nx = 1"),
            "a.toml:1: model.layers: wanted a whole number from 1 to 100, got a section");
  EXPECT_EQ(refused("[model]\nbias = 1"), "a.toml:2: model.bias: wanted true or false, got 1");
  EXPECT_EQ(
      refused("[model]\nspans = [1, \"a\"]"),
      "a.toml:2: model.spans: wanted a list of texts such as [\"a\", \"b\"], got [ 1, \"a\" ]");
  EXPECT_EQ(refused("[model]\nspans = \"full\""),
            "a.toml:2: model.spans: wanted a list of texts such as [\"a\", \"b\"], got \"full\"");
  EXPECT_EQ(refused("[train]\nlr = \"1e-3\""),
            "a.toml:2: train.lr: wanted a finite number > 0 and < 1, got \"1e-3\"");
  for (const char* number : {"0.0", "-1.5", "1.0", "inf", "-inf", "nan", "1"}) {
    EXPECT_EQ(refused(fmt::format("[train]\nlr = {}", number)),
              std::string("a.toml:2: train.lr: wanted a finite number > 0 and < 1, got ") + number);
  }
  EXPECT_EQ(refused("[train]\ndata = 3"),
            "a.toml:2: train.data: wanted a text that is not empty, got 3");
  EXPECT_EQ(refused("[train]\ndata = \"\""),
            "a.toml:2: train.data: wanted a text that is not empty, got \"\"");
  EXPECT_EQ(refused("device = \"cud\""),
            "a.toml:1: device: wanted one of \"cpu\", \"cuda\", got \"cud\"");
  EXPECT_EQ(refused("[train]\neven = \"abc\""),
            "a.toml:2: train.even: wanted an even length, got abc");
  EXPECT_EQ(refused("[train]\neven = \"throw\""), "a.toml:2: train.even: even: not this one");
}

TEST(Config, ASectionIsNoValue) {
  EXPECT_EQ(refused("model = 3"), "a.toml:1: model: wanted one section, [model], got 3");
  EXPECT_EQ(refused("[[model]]\nlayers = 3"),
            "a.toml:1: model: wanted one section, [model], got a list of sections");
}

TEST(Config, WhatIsNotTomlIsOneLineWithItsPlace) {
  EXPECT_EQ(refused("[model]\nlayers = 3\nlayers = 4"),
            "a.toml:3: not TOML: cannot redefine existing integer 'layers'; each key and each "
            "section can be given once");
  EXPECT_EQ(refused("[model]\nlayers = 3\n[model]\nbias = true"),
            "a.toml:3: not TOML: cannot redefine existing table 'model'; each key and each section "
            "can be given once");
  EXPECT_EQ(refused("[train]\ndata = corpus.h5"),
            "a.toml:2: not TOML: could not determine value type; a text needs quotes: data = "
            "\"corpus.h5\"");
  EXPECT_EQ(refused("[train]\ndata = ./c.h5").find("a.toml:2: not TOML: "), 0u);
  EXPECT_EQ(refused("[model]\nlayers 3"), "a.toml:2: not TOML: expected '=', saw '3'");
  EXPECT_EQ(
      refused("a = \"x\n"),
      "a.toml:1: not TOML: a text without its closing quote, or with a control character inside");
}

TEST(Config, OverridesAreReadAsTheFileIs) {
  EXPECT_EQ(set("model.layers=7").layers, 7);
  EXPECT_EQ(set("train.lr=1e-3").lr, 1e-3);
  EXPECT_TRUE(set("model.bias=true").bias);
  EXPECT_EQ(set("device=cuda").device, "cuda");
  EXPECT_EQ(set("device=\"cuda\"").device, "cuda");
  EXPECT_EQ(set("train.data=a = b\\n").data, "a = b\\n");
  EXPECT_EQ(set("train.data='a'").data, "a");
  EXPECT_EQ(set("train.data=true").data, "true");
  EXPECT_EQ(set("train.even=").even, "");
  EXPECT_EQ(set("model.spans=[\"full\",\"sliding:8\"]").spans,
            (std::vector<std::string>{"full", "sliding:8"}));
  EXPECT_EQ(set("model.spans=[]").spans, std::vector<std::string>{});
}

TEST(Config, OverridesAreRefusedAsTheFileIs) {
  EXPECT_EQ(set_refused("model.layrs=3"),
            "--set model.layrs=3: unknown key; did you mean model.layers?");
  EXPECT_EQ(set_refused("modle.layers=3"),
            "--set modle.layers=3: unknown key; did you mean model.layers?");
  EXPECT_EQ(set_refused("model=3"),
            "--set model=3: model is a section; wanted one of its keys, as in model.KEY=VALUE");
  EXPECT_EQ(set_refused("xyzzy.foobar=3"),
            "--set xyzzy.foobar=3: unknown key; the sections are [model], [train]");
  EXPECT_EQ(set_refused("model.layers=many"),
            "--set model.layers=many: wanted a whole number from 1 to 100, got \"many\"");
  EXPECT_EQ(set_refused("model.layers="),
            "--set model.layers=: wanted a whole number from 1 to 100, got \"\"");
  EXPECT_EQ(set_refused("model.layers=101"),
            "--set model.layers=101: wanted a whole number from 1 to 100, got 101");
  EXPECT_EQ(set_refused("model.layers=3\nx=4"),
            "--set model.layers=3\\x0ax=4: wanted a whole number from 1 to 100, got \"3\\nx=4\"");
  EXPECT_EQ(set_refused("model.layers={a=1}"),
            "--set model.layers={a=1}: wanted a whole number from 1 to 100, got a section");
  EXPECT_EQ(set_refused("model.spans=full"),
            "--set model.spans=full: wanted a list of texts such as [\"a\", \"b\"], got \"full\"");
  EXPECT_EQ(set_refused("device=tpu"),
            "--set device=tpu: wanted one of \"cpu\", \"cuda\", got \"tpu\"");
  EXPECT_EQ(set_refused("device=\"cpu"),
            "--set device=\"cpu: the quotes do not make one text of TOML");
  EXPECT_EQ(set_refused("layers"), "--set layers: wanted KEY=VALUE, such as train.even=\"ab\"");
  EXPECT_EQ(set_refused("=3"), "--set =3: wanted KEY=VALUE, such as train.even=\"ab\"");
  EXPECT_EQ(set_refused("train.data=\xff"), "--set train.data=\\xff: wanted text in UTF-8");
}

TEST(Config, ARequiredKeyIsMissedByName) {
  Sample s;
  ConfigSchema schema = schema_of(s);
  EXPECT_EQ(refusal([&] { schema.check_required("runs/a.toml"); }),
            "runs/a.toml: train.data: missing; wanted a text that is not empty, such as data = "
            "\"corpus.h5\" under [train]");
  schema.set("train.data=x");
  schema.check_required("runs/a.toml");
}

TEST(Config, RemembersWhereAValueCameFrom) {
  Sample s;
  ConfigSchema schema = schema_of(s);
  schema.read_text("[model]\nlayers = 3\nbias = true", "a.toml");
  schema.set("model.bias=false");
  EXPECT_EQ(schema.find("model.layers")->where, "a.toml:2");
  EXPECT_EQ(schema.find("model.bias")->where, "--set model.bias=false");
  EXPECT_EQ(schema.find("train.lr")->where, "");
  EXPECT_EQ(schema.find("model"), nullptr);
}

TEST(Config, FilesThatCannotBeReadAreRefused) {
  const test::ScratchFolder scratch;
  Sample s;
  ConfigSchema schema = schema_of(s);
  const std::string folder = scratch.path().string();
  EXPECT_EQ(refusal([&] { schema.read_file(scratch / "no.toml"); }),
            folder + "/no.toml: cannot be opened: No such file or directory");
  EXPECT_EQ(refusal([&] { schema.read_file(scratch.path()); }),
            folder + ": is a folder; wanted a configuration file in TOML");
  test::write_file(scratch / "big.toml", std::string((1 << 20) + 1, '\n'));
  EXPECT_EQ(refusal([&] { schema.read_file(scratch / "big.toml"); }),
            folder + "/big.toml: larger than 1 MiB, which no configuration is");
  EXPECT_EQ(refusal([&] { schema.read_file("/dev/zero"); }),
            "/dev/zero: larger than 1 MiB, which no configuration is");
  test::write_file(scratch / "good.toml", "[model]\nlayers = 9\n");
  schema.read_file(scratch / "good.toml");
  EXPECT_EQ(s.layers, 9);
}

ConfigSchema without_rules(Sample& s) {
  ConfigSchema schema;
  schema.section("a", "");
  schema.field("layers", &s.layers, "");
  schema.field("lr", &s.lr, "");
  schema.field("bias", &s.bias, "");
  schema.section("b", "");
  schema.field("spans", &s.spans, "");
  schema.field("data", &s.data, "");
  return schema;
}

TEST(Config, WhatIsWrittenReadsBackToTheSameBits) {
  const RandomStream random(1, "config");
  for (std::uint64_t i = 0; i < 2000; ++i) {
    Sample s, back;
    s.lr = std::bit_cast<double>(random.bits(2 * i));
    if (!std::isfinite(s.lr)) s.lr = 5e-324;
    for (std::uint64_t k = 0; k < 12; ++k) {
      s.data += static_cast<char>(random.bits(100'000 + 12 * i + k) % 128);
    }
    s.spans = {s.data, "", "\"\\\t\n\u00e9\U0001f600"};
    s.layers = static_cast<std::int64_t>(random.bits(2 * i + 1));
    s.bias = i % 2 == 0;
    without_rules(back).read_text(without_rules(s).to_toml(), "a.toml");
    ASSERT_EQ(std::bit_cast<std::uint64_t>(s.lr), std::bit_cast<std::uint64_t>(back.lr)) << s.lr;
    ASSERT_EQ(s, back);
  }
}

TEST(Config, WritesDeclaredOrder) {
  Sample s;
  s.lr = 1e-5;
  s.spans = {"full", "a\"b"};
  EXPECT_EQ(schema_of(s).to_toml(),
            "device = \"cpu\"\n\n[model]\nlayers = 6\nbias = false\nspans = [\"full\", "
            "\"a\\\"b\"]\n\n[train]\nlr = 1e-05\ndata = \"\"\neven = \"ab\"\n");
  EXPECT_EQ(to_toml(ConfigValue(-0.0)), "-0.0");
  EXPECT_EQ(to_toml(ConfigValue(1e300)), "1e+300");
  EXPECT_EQ(to_toml(ConfigValue(2.0)), "2.0");
  EXPECT_EQ(to_toml(ConfigValue(std::string("\x01\x7f"))), "\"\\u0001\\u007F\"");
}

TEST(Config, DocumentsEveryKey) {
  Sample s;
  const ConfigSchema schema = schema_of(s);
  const std::string reference = schema.reference_markdown();
  EXPECT_NE(reference.find("## [model]\n\nWhat.\n\n| key |"), std::string::npos);
  EXPECT_NE(reference.find("| `layers` | whole number | `6` | from 1 to 100 | Blocks. |\n"),
            std::string::npos);
  EXPECT_NE(reference.find("| `bias` | true or false | `false` |  | Or a \\| b. |\n"),
            std::string::npos);
  EXPECT_NE(reference.find("| `data` | text | required |"), std::string::npos);
  const std::string help = schema.help_text();
  EXPECT_NE(help.find("[train]\n  How.\n  lr = 0.0003\n      Rate. (> 0 and < 1)\n"),
            std::string::npos)
      << help;
  EXPECT_NE(help.find("  data = (required, e.g. \"corpus.h5\")\n"), std::string::npos);
}

TEST(Text, DistanceAndLines) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("layers", "layrs"), 1u);
  EXPECT_EQ(edit_distance("modle", "model"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(one_line("a\nb\x7f\xff\u00e9"), "a\\x0ab\\x7f\\xff\u00e9");
  EXPECT_EQ(one_line("abcdef", 3), "abc...");
  EXPECT_EQ(one_line("abc", 3), "abc");
  for (const char* bad : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
  EXPECT_TRUE(is_utf8("a\u00e9\u20ac\U0001f600\U0010ffff"));
}

}  // namespace
}  // namespace mixspan

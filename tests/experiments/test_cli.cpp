// The program as a user meets it: every command once from text to text, and every wrong input
// answered by one line and exit code 2, with the files that are there left as they were.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/run/exit_code.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

const fs::path kGolden = MIXSPAN_SOURCE_DIR "/tests/golden/model";

class Cli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ScratchFolder;
    fs::create_directory(at("text"));
    const std::string text = read_file(MIXSPAN_SOURCE_DIR "/LICENSE");
    for (int i = 0; i < 6; ++i) {
      write_file(at(fmt::format("text/{}.txt", i)), fmt::format("{}{}", i, text));
    }
    write_file(at("run.toml"), config("corpus.h5"));
    made({"tokenizer", "train", at("text"), "--vocab", "400", "--out", at("tok.json")});
    made({"prepare", at("text"), "--out", at("corpus.h5"), "--tokenizer",
          fmt::format("bpe:{}", at("tok.json"))});
    made({"train", at("run.toml"), "--run-dir", at("run")});
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string at(const std::string& name) { return *folder_ / name; }
  static std::string config(const std::string& corpus) {
    return fmt::format(R"([model]
layers = 2
width = 32
heads = 2
context = 64
span = "sliding:8"
full_layers = "bottom:1"
[data]
train = "{}"
eval_fraction = 0.3
[train]
steps = 6
batch_tokens = 256
)",
                       at(corpus));
  }
  static ProgramResult made(const std::vector<std::string>& arguments) {
    const ProgramResult r = mixspan(arguments);
    EXPECT_EQ(r.exit_code, 0) << arguments[0] << ": " << r.err;
    return r;
  }
  // One line on stderr that names `names`, exit code 2, nothing on stdout.
  static void expect_refused(const std::vector<std::string>& arguments,
                             const std::vector<std::string>& names) {
    std::string command;
    for (const std::string& a : arguments) command += a + " ";
    const ProgramResult r = mixspan(arguments);
    EXPECT_EQ(r.exit_code, kUsage) << command << r.err;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << command << r.err;
    for (const std::string& name : names) {
      EXPECT_NE(r.err.find(name), std::string::npos) << command << "says: " << r.err;
    }
  }
  static inline ScratchFolder* folder_ = nullptr;
};

TEST_F(Cli, EveryCommandHasHelpWithAnExample) {
  for (const char* command : {"prepare", "train", "plan", "sweep", "scale", "report", "eval",
                              "generate", "import", "export", "info"}) {
    const std::string help = made({command, "--help"}).out;
    EXPECT_NE(help.find(fmt::format("Example:\n  mixspan {}", command)), std::string::npos) << help;
  }
  EXPECT_NE(made({"tokenizer", "train", "--help"}).out.find("Example:\n"), std::string::npos);
  EXPECT_NE(made({"--version"}).out.find("mixspan 0."), std::string::npos);
}

TEST_F(Cli, ARunDirectoryHoldsWhatItPromises) {
  for (const char* name : {"config.toml", "metrics.jsonl", "log.txt", "status.json", "result.json",
                           "tensorboard", "checkpoints/latest"}) {
    EXPECT_TRUE(fs::exists(fs::path(at("run")) / name)) << name;
  }
  EXPECT_EQ(nlohmann::json::parse(read_file(at("run/status.json")))["state"], "done");
  const auto result = nlohmann::json::parse(read_file(at("run/result.json")));
  EXPECT_EQ(result["steps"], 6);
  EXPECT_GT(result["eval"]["bits_per_byte"], 0.5);
  EXPECT_NE(read_file(at("run/config.toml")).find("micro_rows"), std::string::npos);
}

TEST_F(Cli, EvaluatesByPositionAndContext) {
  const std::string table = made({"eval", at("run"), "--data", at("corpus.h5"), "--context", "32",
                                  "--context", "64", "--buckets", "4"})
                                .out;
  EXPECT_NE(table.find("context 32: loss"), std::string::npos) << table;
  EXPECT_NE(table.find("48..63"), std::string::npos) << table;
  const auto json = nlohmann::json::parse(made({"eval", at("run"), "--json"}).out);
  EXPECT_EQ(json["context"], 64);
  EXPECT_GT(json["loss"], 1.0);
}

TEST_F(Cli, GeneratesTheSameTextForTheSameSeed) {
  const auto text = [](const std::string& seed, const std::string& temperature = "1") {
    return made({"generate", at("run"), "--prompt", "The License", "--max-tokens", "20", "--seed",
                 seed, "--temperature", temperature})
        .out;
  };
  EXPECT_EQ(text("1"), text("1"));
  EXPECT_NE(text("1"), text("2"));
  EXPECT_EQ(text("1", "0"), text("2", "0"));
  EXPECT_EQ(text("1").find("The License"), 0u);
  write_file(at("prompt.txt"), "The License");
  EXPECT_EQ(made({"generate", at("run"), "--prompt", fmt::format("@{}", at("prompt.txt")),
                  "--max-tokens", "20"})
                .out,
            text("1"));
}

TEST_F(Cli, ImportsAndExports) {
  made({"import", kGolden / "hf_gpt_neo", "--out", at("imported")});
  made({"export", at("imported"), "--out", at("exported")});
  EXPECT_TRUE(fs::exists(at("exported/model.safetensors")));
  made({"import", at("exported"), "--out", at("again")});
  EXPECT_TRUE(read_file(at("imported/state.h5")) == read_file(at("again/state.h5")));
  EXPECT_EQ(read_file(at("imported/config.toml")), read_file(at("again/config.toml")));
  expect_refused({"import", kGolden / "hf_gpt_neo", "--out", at("imported")}, {"imported"});
  expect_refused({"export", at("imported"), "--out", at("exported")}, {"exported"});
}

TEST_F(Cli, ATrainedModelExportsWithItsTokenizer) {
  made({"export", at("run"), "--out", at("hf")});
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    EXPECT_TRUE(fs::exists(fs::path(at("hf")) / name)) << name;
  }
  made({"import", at("hf"), "--out", at("back")});
  const auto greedy = [](const std::string& model) {
    return made({"generate", at(model), "--prompt", "Copyright", "--max-tokens", "12",
                 "--temperature", "0"})
        .out;
  };
  EXPECT_EQ(greedy("back"), greedy("run"));
}

TEST_F(Cli, ImportsWithALongerContext) {
  made({"export", at("run"), "--out", at("short")});
  made({"import", at("short"), "--out", at("long"), "--context", "150"});
  const auto loss = [](const std::string& model, const std::string& context) {
    const std::string text =
        made({"eval", at(model), "--data", at("corpus.h5"), "--context", context, "--json"}).out;
    return nlohmann::json::parse(text)["loss"].get<double>();
  };
  EXPECT_EQ(loss("long", "64"), loss("run", "64"));  // the same positions, so the same bits
  EXPECT_LT(loss("long", "150"), 10);
  made({"train", at("run.toml"), "--run-dir", at("longer"), "--set", "model.context=150", "--set",
        fmt::format("train.init_from={}", at("long")), "--set", "train.batch_tokens=150", "--set",
        "train.steps=1"});
  expect_refused({"import", at("short"), "--out", at("no"), "--context", "63"},
                 {"has positions for 64 tokens", "63"});
  EXPECT_FALSE(fs::exists(at("no")));
}

TEST_F(Cli, ARunStartsFromOtherWeights) {
  made({"train", at("run.toml"), "--run-dir", at("more"), "--set",
        fmt::format("train.init_from={}", at("run")), "--set", "model.span=sliding:4", "--set",
        "train.steps=1", "--set", "optimizer.lr=1e-9"});
  const auto loss = [](const std::string& run) {
    return nlohmann::json::parse(made({"eval", at(run), "--json"}).out)["loss"].get<double>();
  };
  EXPECT_NEAR(loss("more"), loss("run"), 0.02);
  expect_refused({"train", at("run.toml"), "--run-dir", at("never"), "--set",
                  fmt::format("train.init_from={}", at("run")), "--set", "model.width=64"},
                 {"wte.weight", "shape"});
}

TEST_F(Cli, WrongUsage) {
  expect_refused({}, {"mixspan --help"});
  expect_refused({"trian"}, {"trian"});
  expect_refused({"train"}, {"CONFIG", "mixspan train --help"});
  expect_refused({"prepare", at("text")}, {"--out"});
  expect_refused({"generate", at("run"), "--prompt", "x", "--max-tokens", "many"},
                 {"--max-tokens", "many"});
  expect_refused({"train", at("run.toml"), "--ranks", "2"}, {"--ranks is 2", "wanted --ranks 1"});
}

TEST_F(Cli, WrongConfigs) {
  write_file(at("bad.toml"), "[model]\nlayrs = 3\n");
  expect_refused({"train", at("bad.toml")}, {"bad.toml:2", "model.layrs", "model.layers"});
  expect_refused({"train", at("none.toml")}, {"none.toml"});
  const auto with = [](const std::string& set) {
    return std::vector<std::string>{"train",     at("run.toml"), "--run-dir",
                                    at("never"), "--set",        set};
  };
  expect_refused(with("model.full_layers=bottom:9"), {"model.full_layers", "bottom:9"});
  expect_refused(with("model.heads=3"), {"model.heads"});
  expect_refused(with("train.batch_tokens=100"), {"train.batch_tokens", "64"});
  expect_refused(with("train.steps=some"), {"train.steps", "some"});
  expect_refused(with("parallel.tp=2"), {"parallel.tp"});
  expect_refused(with("device=cuda"), {"device"});
  expect_refused(with(fmt::format("data.train={}", at("nowhere.h5"))), {"nowhere.h5"});
  expect_refused(with("data.train=synthetic:recal"), {"recal"});
  expect_refused(with("model.vocab=17"), {"model.vocab", "17"});
  EXPECT_FALSE(fs::exists(at("never")));
}

TEST_F(Cli, WrongText) {
  expect_refused({"prepare", at("missing.txt"), "--out", at("x.h5"), "--tokenizer", "byte"},
                 {"missing.txt"});
  expect_refused({"prepare", at("text"), "--out", at("x.h5"), "--tokenizer", "bits"},
                 {"bits", "byte"});
  expect_refused({"prepare", at("text"), "--out", at("x.h5"), "--tokenizer",
                  fmt::format("bpe:{}", at("run.toml"))},
                 {"run.toml"});
  write_file(at("lines.jsonl"), "{\"text\": \"fine\"}\n{\"txt\": 1}\n");
  expect_refused({"prepare", at("lines.jsonl"), "--out", at("corpus.h5"), "--tokenizer", "byte"},
                 {"lines.jsonl:2", "text"});
  write_file(at("broken.gz"), std::string("\x1f\x8b\x08\x00 not gzip", 13));
  expect_refused({"prepare", at("broken.gz"), "--out", at("corpus.h5"), "--tokenizer", "byte"},
                 {"broken.gz"});
  expect_refused({"tokenizer", "train", at("text"), "--vocab", "100", "--out", at("t.json")},
                 {"257"});
  EXPECT_FALSE(fs::exists(at("x.h5")));
  made({"eval", at("run"), "--data", at("corpus.h5")});  // the refusals left it alone
}

TEST_F(Cli, WrongModels) {
  expect_refused({"eval", at("nothing")}, {"nothing"});
  expect_refused({"eval", at("text")}, {"text"});
  expect_refused({"eval", at("run"), "--context", "65"}, {"--context 65", "64"});
  made({"prepare", at("text"), "--out", at("bytes.h5"), "--tokenizer", "byte"});
  expect_refused({"eval", at("run"), "--data", at("bytes.h5")}, {"bytes.h5", "tokenizer"});
  expect_refused({"generate", at("run"), "--prompt", ""}, {"--prompt"});
  expect_refused({"generate", at("run"), "--prompt", fmt::format("@{}", at("nothing"))},
                 {"nothing"});
  expect_refused({"generate", at("run"), "--prompt", "a", "--max-tokens", "64"},
                 {"--max-tokens 64"});
  expect_refused({"import", at("text"), "--out", at("y")}, {"config.json"});
  fs::create_directory(at("half"));
  fs::copy(kGolden / "hf_gpt_neo" / "config.json", at("half"));
  const std::string whole = read_file(kGolden / "hf_gpt_neo" / "model.safetensors");
  write_file(at("half/model.safetensors"), whole.substr(0, whole.size() / 2));
  expect_refused({"import", at("half"), "--out", at("y")}, {"model.safetensors"});
  EXPECT_FALSE(fs::exists(at("y")));
}

TEST_F(Cli, ACorpusThatIsDamagedIsRefused) {
  const std::string good = read_file(at("corpus.h5"));
  std::string flipped = good;
  flipped[good.size() / 2] ^= 4;
  write_file(at("flipped.h5"), flipped);
  write_file(at("short.h5"), good.substr(0, good.size() / 3));
  write_file(at("empty.h5"), "");
  for (const char* name : {"flipped.h5", "short.h5", "empty.h5"}) {
    expect_refused({"eval", at("run"), "--data", at(name)}, {name});
    expect_refused({"train", at("run.toml"), "--run-dir", at("never"), "--set",
                    fmt::format("data.train={}", at(name))},
                   {name});
  }
}

}  // namespace
}  // namespace mixspan

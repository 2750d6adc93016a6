// The config of a run: defaults, rules between keys, and the one line a mistake gives.
#include <gtest/gtest.h>

#include "core/error.h"
#include "experiments/run/device_choice.h"
#include "experiments/run/run_config.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using test::refusal;

class RunConfigFile : public ::testing::Test {
 protected:
  RunConfig load(const std::string& text, const std::vector<std::string>& sets = {}) {
    test::write_file(scratch_ / "a.toml", text);
    return load_run_config(scratch_ / "a.toml", sets);
  }
  /// The refusal, with the folder of the file cut off.
  std::string refused(const std::string& text, const std::vector<std::string>& sets = {}) {
    std::string message = refusal([&] { load(text, sets); });
    const std::string folder = scratch_.path().string() + "/";
    if (message.starts_with(folder)) message.erase(0, folder.size());
    return message;
  }
  test::ScratchFolder scratch_;
};

const std::string kData = "[data]\ntrain = \"corpus.h5\"\n";

TEST_F(RunConfigFile, DefaultsAreAConfigThatWorks) {
  RunConfig expected;
  expected.data.train = "corpus.h5";
  EXPECT_EQ(load(kData), expected);
  validate(RunConfig{});
}

TEST_F(RunConfigFile, TheExampleOfTheContractReads) {
  const RunConfig c = load(
      "[model]\nlayers = 24\nwidth = 2048\nheads = 16\ncontext = 8192\nspan = \"block:1024\"\n"
      "full_layers = \"bottom:4\"\n[data]\ntrain = \"corpus.h5\"\n[train]\nsteps = 1000\n"
      "batch_tokens = 524288\nseed = 1\n[optimizer]\nlr = 2e-4\n[parallel]\ndp = 1\ncp = 1\ntp = "
      "1\n[checkpoint]\nevery_steps = 200\nkeep = 3\n");
  EXPECT_EQ(c.model.layers, 24);
  EXPECT_EQ(c.batch_rows(), 64);
  EXPECT_EQ(c.optimizer.lr, 2e-4);
  EXPECT_EQ(layer_spans(c.model)[3], AnySpan(FullSpan{}));
  EXPECT_EQ(layer_spans(c.model)[4], AnySpan(BlockSpan{1024}));
}

TEST_F(RunConfigFile, OverridesApplyInOrder) {
  const RunConfig c =
      load(kData, {"model.full_layers=bottom:1", "train.steps=300", "train.steps=400",
                   "model.spans=[\"full\",\"full\",\"full\",\"full\",\"full\",\"sliding:8\"]",
                   "train.max_time=2h30m", "log.tensorboard=false"});
  EXPECT_EQ(c.model.full_layers, "bottom:1");
  EXPECT_EQ(c.train.steps, 400);
  EXPECT_EQ(c.model.spans.back(), "sliding:8");
  EXPECT_EQ(c.train.max_time, "2h30m");
  EXPECT_FALSE(c.log.tensorboard);
}

TEST_F(RunConfigFile, WarmUpFollowsTheNumberOfStepsUnlessGiven) {
  EXPECT_EQ(load(kData).warmup(), 100);
  EXPECT_EQ(load(kData, {"train.steps=5"}).warmup(), 0);
  EXPECT_EQ(load(kData, {"train.steps=90000"}).warmup(), 200);
  EXPECT_EQ(load(kData, {"optimizer.warmup_steps=0"}).warmup(), 0);
  EXPECT_EQ(load(kData, {"optimizer.warmup_steps=7"}).warmup(), 7);
}

TEST_F(RunConfigFile, TheResolvedConfigReadsBackEqual) {
  RunConfig c = load(kData, {"optimizer.lr=0.1234567890123456789", "model.spans=[]",
                             "data.eval=a \"b\".h5", "model.layer_norm_eps=1e-12"});
  EXPECT_EQ(load(to_toml(c)), c);
  EXPECT_NE(load(to_toml(c), {"train.seed=2"}), c);
}

TEST_F(RunConfigFile, TrainingDataIsRequired) {
  EXPECT_EQ(refused("[model]\nlayers = 3\n"),
            "a.toml: data.train: missing; wanted a text that is not empty, such as train = "
            "\"corpus.h5\" under [data]");
}

TEST_F(RunConfigFile, MistakesInOneKey) {
  EXPECT_EQ(refused("[model]\nlayrs = 3\n"),
            "a.toml:2: model.layrs: unknown key; did you mean model.layers?");
  EXPECT_EQ(refused("[model]\nlr = 3\n"),
            "a.toml:2: model.lr: unknown key; did you mean optimizer.lr?");
  EXPECT_EQ(refused("[train]\nsteps = \"many\"\n"),
            "a.toml:2: train.steps: wanted a whole number >= 1, got \"many\"");
  EXPECT_EQ(refused("[model]\nspan = \"slide:3\"\n"),
            "a.toml:2: model.span: span \"slide:3\": wanted full, sliding:W, block:B or "
            "block-prev:B");
  EXPECT_EQ(refused("[model]\nspan = 3\n"),
            "a.toml:2: model.span: wanted full, sliding:W, block:B or block-prev:B, got 3");
  EXPECT_EQ(refused("[model]\nspans = [\"full\", \"sliding:0\"]\n"),
            "a.toml:2: model.spans: span \"sliding:0\": wanted sliding:N with N a whole number of "
            "tokens, 1 or more");
  EXPECT_EQ(refused("[optimizer]\nbeta2 = 1\n"),
            "a.toml:2: optimizer.beta2: wanted a finite number >= 0 and < 1, got 1");
  EXPECT_EQ(refused("[optimizer]\nschedule = \"cosin\"\n"),
            "a.toml:2: optimizer.schedule: wanted one of \"cosine\", \"linear\", \"constant\", got "
            "\"cosin\"");
  EXPECT_EQ(refused("[train]\nmax_time = \"soon\"\n"),
            "a.toml:2: train.max_time: time \"soon\": wanted seconds, or a time such as \"90s\", "
            "\"15m\", \"2h30m\", \"1d12h\"");
  EXPECT_EQ(refused("[optimizers]\nlr = 1\n"),
            "a.toml:1: optimizers: unknown section; did you mean [optimizer]?");
}

TEST_F(RunConfigFile, MistakesBetweenKeysNameTheLineOrTheFile) {
  EXPECT_EQ(refused(kData + "[train]\nbatch_tokens = 65000\n"),
            "a.toml:4: train.batch_tokens = 65000 is not a multiple of model.context = 1024; "
            "wanted one, such as 64512");
  EXPECT_EQ(refused(kData, {"model.context=1000"}),
            "a.toml: train.batch_tokens = 65536 is not a multiple of model.context = 1000; wanted "
            "one, such as 66000");
  EXPECT_EQ(refused(kData, {"train.batch_tokens=7"}),
            "--set train.batch_tokens=7: train.batch_tokens = 7 is not a multiple of model.context "
            "= 1024; wanted one, such as 1024");
  EXPECT_EQ(refused(kData + "[train]\nmicro_rows = 5\n"),
            "a.toml:4: train.micro_rows = 5 does not divide the 64 sequences of a step "
            "(train.batch_tokens / model.context); wanted one that does, or 0");
  EXPECT_EQ(refused(kData + "[train]\nsteps = 10\n", {"optimizer.warmup_steps=11"}),
            "--set optimizer.warmup_steps=11: optimizer.warmup_steps = 11 is more than train.steps "
            "= 10; wanted at most that");
  EXPECT_EQ(refused(kData + "[model]\nheads = 5\n"),
            "a.toml:4: model.heads = 5 does not divide model.width = 384");
  EXPECT_EQ(refused(kData + "[model]\nfull_layers = \"bottom:9\"\n"),
            "a.toml:4: model.full_layers = \"bottom:9\": 9 full layers of 6");
  EXPECT_EQ(refused(kData + "[model]\nspans = [\"full\"]\n"),
            "a.toml:4: model.spans lists 1 spans for 6 layers; wanted one for each layer");
  EXPECT_EQ(refused(kData, {"model.context=4", "train.batch_tokens=8"}),
            "a.toml: eval.buckets = 8 is more than the 4 positions of model.context; wanted at "
            "most that");
}

TEST(Precision, IsRefusedWhereTheProcessorLacksIt) {
  RunConfig c;
  c.device = "cpu";
  EXPECT_EQ(precision_of(c), Precision::fp32);
  require_precision(c, false);
  c.train.precision = "bf16";
  EXPECT_EQ(precision_of(c), Precision::bf16);
  require_precision(c, true);
  EXPECT_EQ(
      test::refusal([&] { require_precision(c, false); }),
      fmt::format("train.precision = \"bf16\": this processor ({}) has no AVX512-BF16; wanted "
                  "\"fp32\"",
                  cpu_name()));
}

TEST_F(RunConfigFile, ACpuHasOneAttentionKernel) {
  EXPECT_EQ(refused("device = \"cpu\"\n" + kData + "[kernels]\nattention = \"mma\"\n"),
            "a.toml:5: kernels.attention = \"mma\": a CPU has one kernel only; wanted \"auto\"");
  EXPECT_EQ(refused("device = \"cpu\"\n" + kData + "[kernels]\nattention_backward = \"fused\"\n"),
            "a.toml:5: kernels.attention_backward = \"fused\": a CPU has one way only; wanted "
            "\"auto\"");
  for (const std::string key : {"fuse_bias_gradient", "fuse_gelu", "tune_products"}) {
    EXPECT_EQ(
        refused("device = \"cpu\"\n" + kData + "[kernels]\n" + key + " = true\n"),
        "a.toml:5: kernels." + key + " = true: a CPU has one way to multiply only; wanted false");
  }
}

// Which devices there are is not the config's to say: a sweep is written where none need be.
TEST_F(RunConfigFile, ADeviceThatIsNotHereCanBeAskedFor) {
  EXPECT_EQ(load("device = \"cuda\"\n" + kData).device, "cuda");
  EXPECT_EQ(load(kData).device, "auto");
  if (device_count() > 0) return;
  EXPECT_EQ(refusal([] { chosen_device("cuda", "device"); }),
            "device = \"cuda\": " + why_no_device() + "; wanted \"cpu\" or \"auto\"");
  EXPECT_EQ(chosen_device("auto", "device"), Device{});
}

TEST(Duration, ReadsSecondsAndUnits) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_duration("90"), seconds(90));
  EXPECT_EQ(parse_duration("90s"), seconds(90));
  EXPECT_EQ(parse_duration("15m"), seconds(900));
  EXPECT_EQ(parse_duration("2h30m"), seconds(9000));
  EXPECT_EQ(parse_duration("1d12h"), seconds(129600));
  EXPECT_EQ(parse_duration("1d1s"), seconds(86401));
  for (const char* bad : {"", "0", "0s", "-3", "1.5h", "30m2h", "2h2h", "h", "2h30", "2 h", "5x",
                          "99999999999999999999", "99999999999d", "+5", "36600d1s"}) {
    EXPECT_EQ(
        refusal([&] { parse_duration(bad); }).find("time \"" + std::string(bad) + "\": wanted"), 0u)
        << bad;
  }
}

}  // namespace
}  // namespace mixspan

// Where memory ends: one line with what holds it and what needs less, status 2, nothing damaged.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "experiments/run/memory_advice.h"
#include "tests/support/fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

RunConfig config() {
  RunConfig c;
  c.device = "cpu";
  c.model.layers = 4;
  c.model.width = 256;
  c.model.heads = 4;
  c.model.context = 1024;
  c.model.vocab = 1000;
  c.model.recompute = "none";
  c.data.train = "synthetic:copy:distance=16";
  c.train.batch_tokens = 8 * 1024;
  c.train.micro_rows = 6;
  c.train.batch_tokens = 12 * 1024;
  return c;
}

TEST(MemoryAdvice, NamesWhatNeedsLessAndHowMuch) {
  const std::string advice = memory_advice(config());
  for (const char* change : {"train.micro_rows = 3 (", "model.recompute = \"selective\" (",
                             "model.recompute = \"products\" (", "model.recompute = \"full\" (",
                             "parallel.cp = 2 on 2 ranks ("}) {
    EXPECT_NE(advice.find(change), std::string::npos) << advice;
  }
  EXPECT_EQ(advice.find("the plan is "), 0u) << advice;
  EXPECT_EQ(advice.find('\n'), std::string::npos);
  EXPECT_EQ(advice.find("bf16"), std::string::npos) << "on a CPU that is no advice";
}

TEST(MemoryAdvice, NamesNothingThatIsDoneAlready) {
  RunConfig c = config();
  c.model.recompute = "full";
  c.train.micro_rows = 1;
  const std::string advice = memory_advice(c);
  EXPECT_EQ(advice.find("recompute"), std::string::npos) << advice;
  EXPECT_EQ(advice.find("micro_rows"), std::string::npos) << advice;
  c.device = "cuda";
  EXPECT_NE(memory_advice(c).find("train.precision = \"bf16\" ("), std::string::npos);
  c.model.vocab = 0;  // before the data are open
  EXPECT_EQ(memory_advice(c).find("what needs less: train.precision = \"bf16\", "), 0u)
      << memory_advice(c);
}

TEST(MemoryAdvice, TurnsTheEndOfMemoryIntoOneLine) {
  const std::string full = test::refusal([] {
    with_memory_advice(config(), [] {
      Arena arena("activations", std::size_t{1} << 20);
      arena.allocate("qkv", {1000});
      arena.allocate("mlp act", {100'000});
      arena.allocate("x", {1 << 18});
    });
  });
  EXPECT_EQ(
      full.find("out of memory: arena 'activations': 1048576 bytes for 'x' do not fit; 404032 "
                "of 1048576 bytes are in use: mlp act 400000, qkv 4032; the plan is "),
      0u)
      << full;
  const std::string host =
      test::refusal([] { with_memory_advice(config(), [] { throw std::bad_alloc(); }); });
  EXPECT_EQ(host.find("out of memory: the system gives the process no more; the plan is "), 0u)
      << host;
  EXPECT_EQ(with_memory_advice(config(), [] { return 7; }), 7);
}

// The arenas of a process that may not have more than 4 GB of addresses get one each, so a step of
// half a million tokens at a time ends in the first of its layers, long before the machine's end.
TEST(OutOfMemory, EndsARunWithStatus2AndItGoesOnWithLess) {
  const test::ScratchFolder folder(test::memory_folder());
  std::ofstream(folder / "run.toml") << R"(
device = "cpu"
[model]
layers = 1
width = 128
heads = 2
context = 1024
span = "sliding:32"
full_layers = "none"
recompute = "none"
[data]
train = "synthetic:copy:distance=16"
[train]
steps = 1
batch_tokens = 524288
micro_rows = 512
[eval]
rows = 1
[log]
tensorboard = false
)";
  const std::string command = "ulimit -v 4000000; exec '" + test::mixspan_path() + "' train '" +
                              (folder / "run.toml").string() + "' --run-dir '" +
                              (folder / "run").string() + "'";
  const test::ProgramResult end = test::Program({"/bin/sh", "-c", command}).wait();
  EXPECT_EQ(end.exit_code, 2) << end.out << end.err;
  EXPECT_EQ(end.err.find("mixspan: out of memory: arena '"), 0u) << end.err;
  EXPECT_NE(end.err.find("bytes are in use: "), std::string::npos) << end.err;
  EXPECT_NE(end.err.find("train.micro_rows = 256 ("), std::string::npos) << end.err;
  EXPECT_EQ(std::count(end.err.begin(), end.err.end(), '\n'), 1) << end.err;
  const auto status = nlohmann::json::parse(test::read_file(folder / "run/status.json"));
  EXPECT_EQ(status.at("state"), "failed");
  EXPECT_EQ("mixspan: " + status.at("last_error").get<std::string>() + "\n", end.err);
  EXPECT_FALSE(std::filesystem::exists(folder / "run/checkpoints/latest"));
}

}  // namespace
}  // namespace mixspan

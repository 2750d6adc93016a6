#include "experiments/cost/machine_file.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace mixspan {
namespace {

const std::filesystem::path kReady = MIXSPAN_SOURCE_DIR "/experiments/recipes/machines";

TEST(MachineFile, TheReadyOnesRead) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kReady)) {
    const MachineFile m = load_machine_file(entry.path());
    EXPECT_FALSE(m.name.empty());
    EXPECT_LE(m.attention_flops, m.gemm_flops) << m.name;
    EXPECT_GE(m.inside.bytes_per_s, m.between.bytes_per_s) << m.name;
    ++files;
  }
  EXPECT_EQ(files, 3);
}

TEST(MachineFile, EveryKeyIsWanted) {
  const test::ScratchFolder folder;
  std::string text = test::read_file(kReady / "h100x8.toml");
  text.replace(text.find("memory_bytes"), 12, "# memory");
  test::write_file(folder / "m.toml", text);
  const std::string message = test::refusal([&] { load_machine_file(folder / "m.toml"); });
  EXPECT_NE(message.find("m.toml: rank.memory_bytes: missing"), std::string::npos) << message;
}

TEST(MachineFile, RanksOfASharedNodeDivideIt) {
  MachineFile m = load_machine_file(kReady / "cpu.toml");
  const MachineFile four = m.as_seen_by(4);
  EXPECT_EQ(four.gemm_flops, m.gemm_flops / 4);
  EXPECT_EQ(four.memory_bytes, m.memory_bytes / 4);
  EXPECT_EQ(m.as_seen_by(1000).gemm_flops, m.gemm_flops / 64);  // more nodes by then
  m.shared = false;
  EXPECT_EQ(m.as_seen_by(4).gemm_flops, m.gemm_flops);
}

TEST(MachineFile, GroupsWithinANodeUseItsLink) {
  const MachineFile m = load_machine_file(kReady / "h100x8.toml");
  EXPECT_EQ(m.link(8, 1).bytes_per_s, m.inside.bytes_per_s);
  EXPECT_EQ(m.link(4, 2).bytes_per_s, m.inside.bytes_per_s);
  EXPECT_EQ(m.link(4, 4).bytes_per_s, m.between.bytes_per_s);
  EXPECT_DOUBLE_EQ(m.inside.seconds(3.6e11), 1 + 8e-6);
}

TEST(MachineFile, WhatIsMeasuredReadsBack) {
  test::TestExec exec;
  MachineFile measured = measure_machine(exec.exec());
  EXPECT_GT(measured.gemm_flops, 1e8);
  EXPECT_GT(measured.memory_bytes, 1 << 28);
  EXPECT_GT(measured.inside.bytes_per_s, 1e6);
  EXPECT_GT(measured.inside.latency_us, 0);
  const test::ScratchFolder folder;
  test::write_file(folder / "m.toml", schema_of(measured).to_toml());
  const MachineFile again = load_machine_file(folder / "m.toml");
  EXPECT_EQ(again.gemm_flops, measured.gemm_flops);
  EXPECT_EQ(again.inside.bytes_per_s, measured.inside.bytes_per_s);
  EXPECT_TRUE(again.shared);
}

}  // namespace
}  // namespace mixspan

// The file of chosen algorithms: needs no device.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "kernels/cuda/algorithm_file.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using cuda::AlgorithmFile;
using cuda::AlgorithmWords;
using Choice = std::optional<AlgorithmWords>;

AlgorithmWords words(std::uint64_t seed) {
  AlgorithmWords w;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = seed * 0x9e3779b97f4a7c15u + i;
  return w;
}
Choice never() {
  ADD_FAILURE() << "chosen again";
  return std::nullopt;
}

TEST(AlgorithmFile, KeepsWhatWasChosenFirst) {
  const test::ScratchFolder folder;
  AlgorithmFile file(folder / "algorithms");
  EXPECT_EQ(file.get("TN,m8", [] { return Choice(words(1)); }), words(1));
  EXPECT_EQ(file.get("TN,m8", never), words(1));
  EXPECT_EQ(file.get("TN,m16", [] { return Choice(words(2)); }), words(2));
  EXPECT_EQ(file.size(), 2u);
}

TEST(AlgorithmFile, ALaterRunReadsIt) {
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "algorithms";
  AlgorithmFile(path).get("a", [] { return Choice(words(1)); });
  AlgorithmFile(path).get("b", [] { return Choice(words(2)); });
  AlgorithmFile later(path);
  EXPECT_EQ(later.size(), 2u);
  EXPECT_EQ(later.get("a", never), words(1));
  EXPECT_EQ(later.get("b", never), words(2));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".tmp"));
}

TEST(AlgorithmFile, AnotherRanksChoiceIsTaken) {
  const test::ScratchFolder folder;
  AlgorithmFile one(folder / "algorithms"), other(folder / "algorithms");
  EXPECT_EQ(one.get("a", [] { return Choice(words(1)); }), words(1));
  EXPECT_EQ(other.get("a", never), words(1));
  EXPECT_EQ(other.get("b", [] { return Choice(words(2)); }), words(2));
  EXPECT_EQ(one.get("b", never), words(2));
  EXPECT_EQ(AlgorithmFile(folder / "algorithms").size(), 2u);
}

TEST(AlgorithmFile, RanksThatNeedAKeyAtOnceAgree) {
  const test::ScratchFolder folder;
  constexpr int kRanks = 6, kKeys = 8;
  std::array<std::array<Choice, kKeys>, kRanks> got;
  std::atomic<int> chosen{0};
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    ranks.emplace_back([&, rank] {
      AlgorithmFile file(folder / "algorithms");
      for (int i = 0; i < kKeys; ++i) {
        const int key = (i + rank) % kKeys;
        got[static_cast<std::size_t>(rank)][static_cast<std::size_t>(key)] =
            file.get(fmt::format("key {}", key),
                     [&] { return Choice(words(static_cast<std::uint64_t>(++chosen))); });
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(chosen, kKeys);
  for (const auto& of_rank : got) EXPECT_EQ(of_rank, got[0]);
}

TEST(AlgorithmFile, WhatHasNoAlgorithmIsAskedAgain) {
  const test::ScratchFolder folder;
  AlgorithmFile file(folder / "algorithms");
  EXPECT_EQ(file.get("a", [] { return Choice(); }), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(folder / "algorithms"));
  EXPECT_EQ(file.get("a", [] { return Choice(words(1)); }), words(1));
}

TEST(AlgorithmFile, WithoutAPathNothingIsWritten) {
  AlgorithmFile file("");
  EXPECT_EQ(file.get("a", [] { return Choice(words(1)); }), words(1));
  EXPECT_EQ(file.get("a", never), words(1));
}

TEST(AlgorithmFile, AForeignFileIsRefused) {
  const test::ScratchFolder folder;
  const auto refused = [&](const std::string& content) {
    test::write_file(folder / "algorithms", content);
    return test::refusal([&] { AlgorithmFile(folder / "algorithms"); });
  };
  const std::string message = refused("step,loss\n1,2.0\n");
  EXPECT_NE(message.find("not a file of matrix product algorithms"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_NE(refused("").find("not a file of"), std::string::npos);
}

TEST(AlgorithmFile, ADamagedFileIsRefused) {
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "algorithms";
  AlgorithmFile(path).get("a", [] { return Choice(words(1)); });
  const std::string whole = test::read_file(path);
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    test::write_file(path, whole.substr(0, cut));
    EXPECT_NE(test::refusal([&] { AlgorithmFile{path}; }).find("remove it"), std::string::npos)
        << cut;
  }
  for (const std::size_t at : {std::size_t{40}, whole.size() / 2, whole.size() - 3}) {
    std::string changed = whole;
    changed[at] ^= 1;
    test::write_file(path, changed);
    const std::string message = test::refusal([&] { AlgorithmFile{path}; });
    EXPECT_NE(message.find("damaged"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace mixspan

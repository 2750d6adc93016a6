// The merger against the definition of BPE, and the cache against the merger.
#include "data/bpe_merger.h"

#include <gtest/gtest.h>

#include <random>

#include "data/word_cache.h"
#include "tests/data/golden_tokenizer.h"

namespace mixspan::test {

namespace {

using Ids = std::vector<std::int32_t>;

BpeModel small_model() {
  const auto folder = golden_tokenizer() / "small_files";
  return bpe_model_from_files(folder / "vocab.json", folder / "merges.txt");
}

/// As the definition says it: apply the first merge in the list that applies, at its leftmost
/// place.
Ids merged_by_definition(const BpeModel& model, std::string_view word) {
  Ids ids;
  for (const char c : word) ids.push_back(model.byte_ids[static_cast<std::uint8_t>(c)]);
  for (std::size_t rank = 0; rank < model.merges.size();) {
    const BpeMerge& m = model.merges[rank++];
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      if (ids[i] != m.left || ids[i + 1] != m.right) continue;
      ids[i] = m.result;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      rank = 0;
      break;
    }
  }
  return ids;
}

void expect_definition(const BpeModel& model, const std::vector<std::string>& pieces,
                       std::size_t longest, int words) {
  const BpeMerger merger(model);
  std::mt19937_64 rng(3);
  for (int n = 0; n < words; ++n) {
    const std::size_t size = 1 + rng() % longest;
    std::string word;
    while (word.size() < size) word += pieces[rng() % pieces.size()];
    Ids got;
    merger.merge(word, got);
    ASSERT_EQ(got, merged_by_definition(model, word)) << word;
  }
}

/// Byte tokens and the given merges, each of which makes a new token or one that is there.
BpeModel model_of(const std::vector<std::pair<std::string, std::string>>& merges) {
  const BpeModel small = small_model();
  BpeParts parts;
  for (const std::int32_t id : small.byte_ids) {
    parts.vocab.emplace_back(small.spelling[static_cast<std::size_t>(id)], parts.vocab.size());
  }
  parts.vocab.emplace_back(kEndOfText, parts.vocab.size());
  for (const auto& [left, right] : merges) {
    const bool known = std::any_of(parts.vocab.begin(), parts.vocab.end(),
                                   [&](const auto& v) { return v.first == left + right; });
    if (!known) parts.vocab.emplace_back(left + right, parts.vocab.size());
    parts.merges.emplace_back(left, right);
  }
  return make_bpe_model(parts, "a test");
}

}  // namespace

TEST(BpeMerger, ShortWordsMergeAsTheDefinitionSays) {
  expect_definition(small_model(), {"a", "e", "t", "th", "he", "in", "er", " ", "\xc3\xa4"}, 48,
                    300);
}

TEST(BpeMerger, LongWordsMergeAsTheDefinitionSays) {
  expect_definition(small_model(), {"a", "b", "e", "the", "ing", "\xe4\xbd\xa0", "-"}, 200, 60);
}

TEST(BpeMerger, RepeatsAndMergesInStrangeOrderMergeAsTheDefinitionSays) {
  // "aaa" before "aa" is used up, one token by two pairs, a pair that needs a later merge.
  const BpeModel model = model_of({{"a", "a"},
                                   {"aa", "a"},
                                   {"a", "b"},
                                   {"aa", "b"},
                                   {"a", "ab"},
                                   {"b", "b"},
                                   {"bb", "bb"},
                                   {"aab", "b"},
                                   {"aa", "aa"}});
  expect_definition(model, {"a", "b"}, 48, 400);
  expect_definition(model, {"a", "b", "aaaa"}, 150, 200);
}

TEST(BpeMerger, OfAPairThatIsThereTwiceTheLaterRankCounts) {
  const BpeModel model = model_of({{"a", "b"}, {"b", "c"}, {"a", "b"}});
  ASSERT_EQ(model.merges.size(), 2u);
  Ids got;
  BpeMerger(model).merge("abc", got);
  EXPECT_EQ(got, (Ids{model.byte_ids['a'], model.merges[0].result}));
  EXPECT_EQ(model.spelling[static_cast<std::size_t>(got[1])], "bc");
}

TEST(WordCache, GivesBackWhatWasStoredLastAndNothingElse) {
  WordCache cache;
  EXPECT_TRUE(cache.find("word", 1).empty());
  cache.store("word", 1, Ids{4, 5});
  ASSERT_EQ(cache.find("word", 1).size(), 2u);
  EXPECT_EQ(cache.find("word", 1)[1], 5);
  EXPECT_TRUE(cache.find("worn", 1).empty());
  EXPECT_TRUE(cache.find("wor", 1).empty());
  cache.store("worn", 1, Ids{6});
  EXPECT_TRUE(cache.find("word", 1).empty());
  EXPECT_EQ(cache.find("worn", 1)[0], 6);
  cache.store("eleven", 2, Ids(11, 1));
  EXPECT_TRUE(cache.find("eleven", 2).empty());
  const std::string longest(22, 'x');
  cache.store(longest, 3, Ids(10, 7));
  EXPECT_EQ(cache.find(longest, 3).size(), 10u);
  EXPECT_FALSE(WordCache::keeps(longest + "x"));
}

}  // namespace mixspan::test

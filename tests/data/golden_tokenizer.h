// The files of tests/golden/tokenizer, and where GPT-2's vocabulary may lie.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/fixture.h"

namespace mixspan::test {

inline std::filesystem::path golden_tokenizer() {
  return std::filesystem::path(MIXSPAN_SOURCE_DIR) / "tests/golden/tokenizer";
}
inline std::string small_spec() {
  return "bpe:" + (golden_tokenizer() / "small/tokenizer.json").string();
}
inline std::string torture() { return read_file(golden_tokenizer() / "torture.txt"); }

/// Holds encoder.json and vocab.bpe, or does not exist.
inline std::filesystem::path gpt2_folder() {
  const char* const set = std::getenv("MIXSPAN_GPT2_VOCAB");
  return set != nullptr ? std::filesystem::path(set)
                        : std::filesystem::path(MIXSPAN_SOURCE_DIR) / "../shared/data/gpt2";
}

}  // namespace mixspan::test

// What cannot be a tokenizer is refused in one line that names the file and says what would work.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenizer.h"
#include "tests/data/golden_tokenizer.h"

namespace mixspan::test {

namespace {

using Json = nlohmann::json;

Json small_json() { return Json::parse(read_file(golden_tokenizer() / "small/tokenizer.json")); }

/// Expects one line that holds every one of `parts`.
void expect_line(const std::string& line, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(line.find(part), std::string::npos) << "'" << part << "' is not in: " << line;
  }
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
}

void expect_refused(const std::string& content, const std::vector<std::string>& parts) {
  const ScratchFolder folder;
  write_file(folder / "tok.json", content);
  const std::string line =
      refusal([&] { load_tokenizer("bpe:" + (folder / "tok.json").string()); });
  expect_line(line, parts);
  expect_line(line, {"tok.json"});
}

/// The small tokenizer with one thing changed.
void expect_refused(const std::function<void(Json&)>& change,
                    const std::vector<std::string>& parts) {
  Json json = small_json();
  change(json);
  expect_refused(json.dump(), parts);
}

}  // namespace

TEST(TokenizerRefusals, NamesThatAreNoTokenizer) {
  const ScratchFolder folder;
  const std::string path = folder.path().string();
  write_file(folder / "file", "{}");
  const auto refused = [](const std::string& spec) {
    return refusal([&] { load_tokenizer(spec); });
  };
  expect_line(refused("words"), {"tokenizer 'words'", "byte", "bpe:FILE", "hf:DIR"});
  expect_line(refused(""), {"tokenizer ''"});
  expect_line(refused("hf:"), {"hf:DIR"});
  expect_line(refused(path), {"write hf:" + path});
  expect_line(refused(path + "/file"), {"write bpe:" + path + "/file"});
  expect_line(refused("bpe:" + path + "/none.json"),
              {"none.json", "no such file", "tokenizer train"});
  expect_line(refused("bpe:" + path), {"a folder", "hf:" + path});
  expect_line(refused("hf:" + path + "/none"), {"/none", "no such folder"});
  expect_line(refused("hf:" + path + "/file"), {"not a folder", "bpe:" + path + "/file"});
  expect_line(refused("hf:" + path), {"tokenizer.json", "vocab.json", "encoder.json"});
}

TEST(TokenizerRefusals, FilesThatAreNoTokenizerJson) {
  expect_refused("", {"not JSON"});
  expect_refused("{\"model\": \xff\n}", {"not JSON"});
  const std::string whole = small_json().dump();
  expect_refused(whole.substr(0, whole.size() / 2), {"not JSON"});
  expect_refused("[1, 2]", {"no 'model'"});
  expect_refused("{\"a\": 1}", {"no 'model'", "GPT-2"});
}

TEST(TokenizerRefusals, ModelsThatAreNoByteLevelBpe) {
  expect_refused([](Json& j) { j["model"]["type"] = "WordPiece"; }, {"WordPiece", "not BPE"});
  expect_refused([](Json& j) { j["model"]["byte_fallback"] = true; }, {"byte_fallback"});
  expect_refused([](Json& j) { j["model"]["dropout"] = 0.1; }, {"dropout", "0.1"});
  expect_refused([](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; },
                 {"end_of_word_suffix"});
  expect_refused([](Json& j) { j["normalizer"] = {{"type", "NFC"}}; }, {"normalizer", "NFC"});
  expect_refused(
      [](Json& j) {
        j["pre_tokenizer"] = {{"type", "Whitespace"}};
      },
      {"Whitespace", "not ByteLevel"});
  expect_refused([](Json& j) { j["pre_tokenizer"] = nullptr; }, {"pre_tokenizer", "null"});
  expect_refused([](Json& j) { j["pre_tokenizer"]["use_regex"] = false; }, {"use_regex"});
  expect_refused([](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; },
                 {"add_prefix_space"});
  expect_refused([](Json& j) { j["model"]["vocab"].erase("A"); }, {"byte 0x41"});
}

TEST(TokenizerRefusals, VocabulariesThatContradictThemselves) {
  expect_refused([](Json& j) { j["model"]["vocab"] = 5; }, {"vocabulary is 5"});
  expect_refused([](Json& j) { j["model"]["vocab"]["A"] = "x"; }, {"'A'", "\"x\""});
  expect_refused([](Json& j) { j["model"]["vocab"]["A"] = 1; }, {"both have the id 1"});
  expect_refused([](Json& j) { j["model"]["vocab"]["A"] = -1; }, {"'A'", "-1"});
  expect_refused([](Json& j) { j["model"]["vocab"]["A"] = 2'000'000'000; }, {"'A'", "2000000000"});
  expect_refused([](Json& j) { j["model"]["merges"] = "x"; }, {"merges"});
  expect_refused([](Json& j) { j["model"]["merges"][0] = "abc"; }, {"merge 1", "'abc'"});
  expect_refused([](Json& j) { j["model"]["merges"][1] = {"a", "b", "c"}; }, {"merge 2"});
  expect_refused([](Json& j) { j["model"]["merges"][2] = {"Q\n", "Q"}; }, {"merge 3", "'Q?'"});
  expect_refused([](Json& j) { j["model"]["merges"][2] = {"Q", "%"}; }, {"'Q%'", "lacks"});
  expect_refused([](Json& j) { j["added_tokens"][0]["id"] = 7; }, {"<|endoftext|>", "id 7"});
  expect_refused([](Json& j) { j["added_tokens"][2]["id"] = 1500; }, {"two added tokens", "1500"});
  expect_refused([](Json& j) { j["added_tokens"][0]["lstrip"] = true; }, {"lstrip"});
  expect_refused([](Json& j) { j["added_tokens"][0].erase("content"); }, {"lacks 'content'"});
  expect_refused(
      [](Json& j) {
        j["model"]["vocab"].erase("<|endoftext|>");
        j["added_tokens"].erase(0);
      },
      {"no token that ends a document", "<|endoftext|>"});
}

TEST(TokenizerRefusals, FoldersWithBadFiles) {
  const auto files = golden_tokenizer() / "small_files";
  const ScratchFolder folder;
  const auto refused = [&] {
    return refusal([&] { load_tokenizer("hf:" + folder.path().string()); });
  };
  write_file(folder / "vocab.json", read_file(files / "vocab.json"));
  expect_line(refused(), {"no tokenizer.json"});
  write_file(folder / "merges.txt", "#version: 0.2\na b\nab\n");
  expect_line(refused(), {"merges.txt, line 3", "'ab'"});
  write_file(folder / "merges.txt", "#version: 0.2\nQ %\n");
  expect_line(refused(), {"vocab.json with merges.txt", "'Q%'"});
  write_file(folder / "merges.txt", read_file(files / "merges.txt"));
  EXPECT_EQ(load_tokenizer("hf:" + folder.path().string())->vocab_size(), 1500);
  write_file(folder / "tokenizer_config.json", "{\"add_prefix_space\": true}");
  expect_line(refused(), {"tokenizer_config.json", "add_prefix_space"});
  write_file(folder / "tokenizer_config.json", "{");
  expect_line(refused(), {"tokenizer_config.json"});
  std::filesystem::remove(folder / "tokenizer_config.json");
  write_file(folder / "added_tokens.json", "{}");
  expect_line(refused(), {"added_tokens.json", "save_pretrained"});
  std::filesystem::remove(folder / "added_tokens.json");
  write_file(folder / "vocab.json", "not json");
  expect_line(refused(), {"vocab.json", "not JSON"});
}

}  // namespace mixspan::test
